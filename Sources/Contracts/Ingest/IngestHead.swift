// What a decoded batch says beside its readings.
package import Telemetry

/// The head of one batch and what became of its readings so far.
package struct IngestHead: Sendable, Equatable {
  /// Empty when the sender did not name itself; a stream names it in its first message.
  package var producerID: String
  package var sequence: UInt64
  /// The level asked for; a number that we do not know counts as unspecified.
  package var ackLevel: AckLevel
  /// Its sequence is that of the batch, `stored` the number of readings appended; the level is the caller's to set.
  package var result: BatchResult
  /// One for each quarantined reading, in order.
  package var deadLetters: [DeadLetter]

  package init(
    producerID: String, sequence: UInt64, ackLevel: AckLevel, result: BatchResult, deadLetters: [DeadLetter]
  ) {
    self.producerID = producerID
    self.sequence = sequence
    self.ackLevel = ackLevel
    self.result = result
    self.deadLetters = deadLetters
  }
}

/// One message of an ingest stream.
package enum IngestStreamMessage: Sendable, Equatable {
  case open(producerID: String, ackLevel: AckLevel, isHistorical: Bool)
  case batch(IngestHead)
  /// Neither: a newer client's message, or nothing.
  case empty
}
