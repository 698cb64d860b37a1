// What the writer stores at once, and how it can fail.
package import Telemetry

/// Readings, dead letters and the cursors of the producers that sent them: stored together or not at all.
package struct WriteTransaction: Sendable {
  package var batches: [ReadingBatch] = []
  package var deadLetters: [RefusedReading] = []
  /// At most one a producer. Give each transaction at least one: the cursor is what proves, after any crash, whether
  /// the transaction was committed.
  package var cursors: [CursorMove] = []

  package init() {}

  package var isEmpty: Bool { cursors.isEmpty && deadLetters.isEmpty && batches.allSatisfy(\.isEmpty) }
}

/// A producer's cursor goes from the last sequence that is stored to the last of this transaction.
package struct CursorMove: Sendable, Equatable {
  package var producerID: String
  /// 0 = the producer has sent nothing yet.
  package let from: UInt64
  package let to: UInt64

  package init(producerID: String, from: UInt64, to: UInt64) {
    precondition(from < to, "a cursor moves forward: that is how a lost commit is told from one that happened")
    self.producerID = producerID
    self.from = from
    self.to = to
  }

  /// Sequences are uint64 on the wire and BIGINT in the table. They count from 1, one a batch, so that this bound is
  /// never met; what lies beyond is refused as a data error (22003), never wrapped.
  package static let maximumSequence = UInt64(Int64.max)
}

/// A dead letter and where it came from.
package struct RefusedReading: Sendable {
  package var letter: DeadLetter
  package var producerID: String
  package var sequence: UInt64
  /// Who sent it; empty until callers say who they are.
  package var principal: String
  /// Microseconds since 1970-01-01T00:00:00Z.
  package var receivedAt: Int64

  package init(_ letter: DeadLetter, producerID: String, sequence: UInt64, principal: String = "",
               receivedAt: Int64) {
    self.letter = letter
    self.producerID = producerID
    self.sequence = sequence
    self.principal = principal
    self.receivedAt = receivedAt
  }
}

/// Why a transaction was not stored; nothing of it is. Whatever may pass with time (an outage, a full disk) is not
/// here: the writer waits it out.
package enum WriteFailure: Error, Sendable, Equatable {
  /// The database can never take these values (SQLSTATE class 22, 23): find the batch that holds them.
  case data(PostgresError)
  /// Another server moved these producers' cursors: read them again.
  case cursorConflict(producerIDs: [String])
  /// `stopSignal` was given. If COMMIT was under way the cursors tell what became of it, after the next start.
  case stopped
}
