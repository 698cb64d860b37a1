// A reading that was not stored, with what it was and why.

/// One quarantined reading: kept with its original bytes, so that it can be looked at, mended and sent again.
package struct DeadLetter: Sendable {
  package var reason: Verdict.Reason
  /// The field at fault; empty when the whole reading is.
  package var field: String
  package var deviceID: String
  /// Source time, microseconds since 1970-01-01T00:00:00Z; nil when the reading had none that could be read.
  package var readingTimestamp: Int64?
  /// The reading as it was received.
  package var original: [UInt8]

  package init(reason: Verdict.Reason, field: String, deviceID: String, readingTimestamp: Int64?, original: [UInt8]) {
    self.reason = reason
    self.field = field
    self.deviceID = deviceID
    self.readingTimestamp = readingTimestamp
    self.original = original
  }
}
