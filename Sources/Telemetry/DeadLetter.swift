// A reading that was not stored, with what it was and why.

/// One quarantined reading: kept with its original bytes, so that it can be looked at, mended and sent again.
public struct DeadLetter: Sendable, Equatable {
  public var reason: Verdict.Reason
  /// The field at fault; empty when the whole reading is.
  public var field: String
  /// As it was received; bytes that are no UTF-8 become U+FFFD.
  public var deviceID: String
  /// Source time, microseconds since 1970-01-01T00:00:00Z; nil when the reading had none that could be read.
  public var readingTimestamp: Int64?
  /// A serialized `esp.v1.Reading`: the very bytes of a row; a sample of a block written anew.
  public var original: [UInt8]

  public init(reason: Verdict.Reason, field: String, deviceID: String, readingTimestamp: Int64?, original: [UInt8]) {
    self.reason = reason
    self.field = field
    self.deviceID = deviceID
    self.readingTimestamp = readingTimestamp
    self.original = original
  }
}
