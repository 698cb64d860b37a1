// What became of readings that were not simply stored, and the sums that always add up.

/// What an acknowledgement promises; numbers are those of `esp.v1.AckLevel`.
package enum AckLevel: Int32, Sendable, Comparable, CaseIterable {
  case unspecified = 0, accepted = 1, durable = 2, committed = 3

  package static func < (left: AckLevel, right: AckLevel) -> Bool { left.rawValue < right.rawValue }
}

/// A run of consecutive readings of a batch with the same fate.
package struct Verdict: Sendable, Equatable {
  /// Numbers are those of `esp.v1.Verdict.Outcome`.
  package enum Outcome: Int32, Sendable { case duplicate = 1, quarantined = 2, rejected = 3 }

  /// Why; the raw value is the stable wire form (ESP_DOMAIN 4.5).
  package enum Reason: String, Sendable, CaseIterable {
    case duplicateSequence = "DUPLICATE_SEQUENCE"
    case invalidDeviceID = "INVALID_DEVICE_ID"
    case invalidSourceSystem = "INVALID_SOURCE_SYSTEM"
    case invalidBlock = "INVALID_BLOCK"
    case missingTimestamp = "MISSING_TIMESTAMP"
    case invalidTimestamp = "INVALID_TIMESTAMP"
    case timestampTooOld = "TIMESTAMP_TOO_OLD"
    case timestampInFuture = "TIMESTAMP_IN_FUTURE"
    case nonFiniteValue = "NON_FINITE_VALUE"
    case outOfRange = "OUT_OF_RANGE"
    case noSignals = "NO_SIGNALS"
    case storeFailed = "STORE_FAILED"
  }

  /// Index in the batch: rows first, then the samples of the blocks, in order.
  package var firstIndex: UInt32
  package var count: UInt32
  package var outcome: Outcome
  package var reason: Reason
  /// The field at fault; empty when the whole reading is.
  package var field: String
  /// May the client send it again unchanged?
  package var isRetryable: Bool

  package init(firstIndex: UInt32, count: UInt32 = 1, outcome: Outcome, reason: Reason, field: String = "",
               isRetryable: Bool = false) {
    self.firstIndex = firstIndex
    self.count = count
    self.outcome = outcome
    self.reason = reason
    self.field = field
    self.isRetryable = isRetryable
  }
}

/// The answer to one batch: received = stored + duplicate + quarantined + rejected, always.
package struct BatchResult: Sendable, Equatable {
  package var sequence: UInt64 = 0
  package var ackLevel: AckLevel = .unspecified
  package var stored: UInt32 = 0
  package var duplicate: UInt32 = 0
  package var quarantined: UInt32 = 0
  package var rejected: UInt32 = 0
  package var verdicts: [Verdict] = []

  package init() {}

  package var received: UInt32 { stored + duplicate + quarantined + rejected }

  /// Counts readings `index ..< index + count` under `outcome`, lengthening the last run when they continue it.
  package mutating func add(_ verdict: Verdict) {
    switch verdict.outcome {
    case .duplicate: duplicate += verdict.count
    case .quarantined: quarantined += verdict.count
    case .rejected: rejected += verdict.count
    }
    if let last = verdicts.last, last.firstIndex + last.count == verdict.firstIndex, last.outcome == verdict.outcome,
       last.reason == verdict.reason, last.field == verdict.field, last.isRetryable == verdict.isRetryable {
      verdicts[verdicts.count - 1].count += verdict.count
    } else {
      verdicts.append(verdict)
    }
  }
}
