// Readings by what became of them, since the start: the sums that must always add up.

/// received = stored + duplicate + quarantined + rejected + failed + inFlight, at every moment.
package struct IngestCounters: Sendable, Equatable {
  /// In batches that were taken, repeated ones included; what an earlier run left in the journal counts when it is
  /// read.
  package var received: UInt64 = 0
  /// Committed in the table of readings.
  package var stored: UInt64 = 0
  /// In batches whose sequence was taken before.
  package var duplicate: UInt64 = 0
  /// Committed as dead letters.
  package var quarantined: UInt64 = 0
  /// Neither stored nor kept.
  package var rejected: UInt64 = 0
  /// Taken, and then not written by the journal: their senders were told, unless ACCEPTED was enough for them.
  package var failed: UInt64 = 0
  /// In the journal, not in the database yet.
  package var inFlight: UInt64 = 0

  package init() {}

  mutating func take(_ readings: Int, rejected count: UInt32) {
    received += UInt64(readings) + UInt64(count)
    rejected += UInt64(count)
    inFlight += UInt64(readings)
  }

  mutating func repeated(_ readings: Int) {
    received += UInt64(readings)
    duplicate += UInt64(readings)
  }

  mutating func fail(_ readings: Int) {
    inFlight -= UInt64(readings)
    failed += UInt64(readings)
  }

  mutating func commit(stored: Int, quarantined: Int) {
    inFlight -= UInt64(stored + quarantined)
    self.stored += UInt64(stored)
    self.quarantined += UInt64(quarantined)
  }

  /// Another server had stored it.
  mutating func foundStored(_ readings: Int) {
    inFlight -= UInt64(readings)
    duplicate += UInt64(readings)
  }
}
