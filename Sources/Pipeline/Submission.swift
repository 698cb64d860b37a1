// What a service hands to the pipeline, and what it is told in the end.
package import Status
package import Telemetry

/// Which journal and which share of the database a batch goes through.
package enum IngestPriority: Int, CaseIterable, Sendable {
  case live
  /// Backfill: has a journal of its own and waits for live readings.
  case historical
}

/// Readings that become durable together, as one step of their producer's sequence.
package struct Submission: Sendable {
  package var claim: Claim
  package var priority: IngestPriority
  /// The batch as it came: what the journal keeps. Decoded again it must give `batch` and `deadLetters`.
  package var message: Message
  package var batch: ReadingBatch
  package var deadLetters: [DeadLetter]
  /// Readings that are neither stored nor kept as dead letters.
  package var rejected: UInt32
  package var answers: [Answer]

  /// One step of a producer's sequence.
  package struct Claim: Sendable {
    package var producerID: String
    package var sequence: UInt64
    /// The stream that sends it; nil for a unary call, which needs no stream.
    package var owner: (any StreamOwner)?

    package init(producerID: String, sequence: UInt64, owner: (any StreamOwner)? = nil) {
      self.producerID = producerID
      self.sequence = sequence
      self.owner = owner
    }
  }

  package struct Message: Sendable {
    package var kind: MessageKind
    package var bytes: [UInt8]
    /// Microseconds since 1970: the time against which the readings were judged.
    package var receivedAt: Int64

    package init(_ kind: MessageKind, _ bytes: [UInt8], receivedAt: Int64) {
      self.kind = kind
      self.bytes = bytes
      self.receivedAt = receivedAt
    }
  }

  /// Told once, when the level is reached or will not be. ACCEPTED is reached when `submit` says so: nobody is told.
  package struct Answer: Sendable {
    /// `durable` or `committed`.
    package var level: AckLevel
    /// Called on a thread of the pipeline's or the journal's, or within `submit`; it must not block.
    package var completion: @Sendable (Outcome) -> Void

    package init(_ level: AckLevel, completion: @escaping @Sendable (Outcome) -> Void) {
      self.level = level
      self.completion = completion
    }
  }

  package enum Outcome: Sendable {
    /// Readings of the batch that the database refused are named by their place in it; they are dead letters now. Known
    /// at `committed` only.
    case reached(AckLevel, refused: [Int])
    /// This sequence had reached the level before; nothing was stored now.
    case duplicate(AckLevel)
    /// The level was not reached; the status says why and whether to try again.
    case failed(RPCStatus)
  }

  package init(claim: Claim, priority: IngestPriority = .live, message: Message, batch: ReadingBatch,
               deadLetters: [DeadLetter] = [], rejected: UInt32 = 0, answers: [Answer]) {
    self.claim = claim
    self.priority = priority
    self.message = message
    self.batch = batch
    self.deadLetters = deadLetters
    self.rejected = rejected
    self.answers = answers
  }
}

/// Kinds of the journal's records: which message the payload is.
package enum MessageKind: UInt8, Sendable {
  /// An `esp.v1.IngestRequest`, or several after one another, which protobuf reads as one.
  case ingestRequest = 1
  /// An `esp.v1.IngestStreamRequest` with a batch.
  case streamRequest = 2
}

/// What became of handing a submission over.
package enum Admission: Sendable, Equatable {
  /// It is in memory and on its way to the disk: its answers will be given.
  case accepted
  /// This sequence was taken before, and nothing is now; its answers will be given.
  case duplicate
  /// The cursor of the producer must be loaded first; nothing was taken.
  case unknownProducer
  /// Sequences increase by 1 and this one does not follow; nothing was taken.
  case gap(expected: UInt64)
  /// Another stream has taken the producer over; nothing was taken.
  case takenOver
  /// Batches of this producer are on their way through the other journal; nothing was taken.
  case otherPriority
  /// The journal has no room now; nothing was taken. The status names the limit and its use.
  case overloaded(RPCStatus)
  /// The journal can't take it; nothing was taken.
  case refused(RPCStatus)
  /// The server is going away; nothing was taken.
  case stopping
}

/// The live stream of a producer; there is one at a time.
package protocol StreamOwner: AnyObject, Sendable {
  /// Another stream of the same producer has been opened. Called on any thread.
  func takenOver()
}
