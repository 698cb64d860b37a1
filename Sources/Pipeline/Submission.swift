// What a service hands to the pipeline, and what it is told in the end.
package import Status
package import Telemetry

/// Readings that become durable together, with the cursor of their producer.
package struct Submission: Sendable {
  /// Whose batch this is; nil for readings that come without producer and sequence.
  package var claim: Claim?
  package var batch: ReadingBatch
  package var deadLetters: [DeadLetter]
  /// Called once, on the pipeline's thread; it must not block.
  package var completion: @Sendable (Outcome) -> Void

  /// One step of a producer's sequence.
  package struct Claim: Sendable {
    package var producerID: String
    package var sequence: UInt64
    /// The stream that sends it; nil for a unary call, which needs no stream.
    package var owner: (any StreamOwner)?

    package init(producerID: String, sequence: UInt64, owner: (any StreamOwner)?) {
      self.producerID = producerID
      self.sequence = sequence
      self.owner = owner
    }
  }

  /// What it counts for in the queue: everything that must be written.
  var readingCount: Int { batch.readings.count + deadLetters.count }

  /// What it counts for in the byte budget: rows, texts, dead letters with their bytes, and the rest by estimate.
  var byteCount: Int {
    batch.readings.count * MemoryLayout<Reading>.stride + batch.text.count
      + deadLetters.reduce(0) { $0 + MemoryLayout<DeadLetter>.stride + $1.original.count } + 256
  }

  package enum Outcome: Sendable {
    /// Committed in the database, cursor included.
    case committed
    /// This sequence was stored before; nothing was stored now.
    case duplicate
    /// The database refused these readings for what they are. The cursor has moved over them: repeating can't help.
    case refused
    /// Not stored; the status says why and whether to try again.
    case failed(RPCStatus)
  }

  package init(claim: Claim? = nil, batch: ReadingBatch, deadLetters: [DeadLetter] = [],
               completion: @escaping @Sendable (Outcome) -> Void) {
    self.claim = claim
    self.batch = batch
    self.deadLetters = deadLetters
    self.completion = completion
  }
}

/// What became of handing a submission over.
package enum Admission: Sendable, Equatable {
  /// Its completion will be called.
  case accepted
  /// The cursor of the producer must be loaded first; nothing was taken.
  case unknownProducer
  /// Sequences increase by 1 and this one does not follow; nothing was taken.
  case gap(expected: UInt64)
  /// Another stream has taken the producer over; nothing was taken.
  case takenOver
  /// Another server has moved this producer's cursor; it is being loaded anew. Nothing was taken.
  case conflicted
  /// The queue is full; nothing was taken.
  case overloaded(queuedReadings: Int)
  /// The server is going away; nothing was taken.
  case stopping
}

/// The live stream of a producer; there is one at a time.
package protocol StreamOwner: AnyObject, Sendable {
  /// Another stream of the same producer has been opened. Called on any thread.
  func takenOver()
}
