// What the journal says about itself, for health, metrics and logs.

package struct JournalStatus: Sendable {
  package enum Condition: Sendable, Equatable {
    case ok
    /// `append` throws this for now.
    case full(JournalError)
    /// `append` throws this until the next start.
    case failed(JournalError)
  }

  package var condition: Condition
  /// Bytes of all segment files, spare ones included.
  package var usedBytes: Int
  package var limitBytes: Int
  /// Where the oldest kept segment's records begin.
  package var oldest: JournalPosition
  /// Where the next record will stand. All that is durable lies before `durableEnd`.
  package var end: JournalPosition
  package var durableEnd: JournalPosition
  package var waitingRecords: Int
  package var waitingBytes: Int
  package var spareSegments: Int
  /// Since the start.
  package var appendedRecords: UInt64
  package var syncs: UInt64
  /// Writing and syncing of the newest batch.
  package var lastSync: Duration
  /// What the start found; the bytes lie beside the segments in files that end with `.damaged`.
  package var damages: [JournalDamage]
}

/// Bytes that were durable and are not what was written.
package struct JournalDamage: Sendable, Hashable, CustomStringConvertible {
  /// Where it begins; 0 when the segment's header is hit.
  package var position: JournalPosition
  package var byteCount: Int
  package var reason: String

  package var description: String { "\(position), \(byteCount) bytes: \(reason)" }
}
