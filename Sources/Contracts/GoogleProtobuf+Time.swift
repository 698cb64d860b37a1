// Between the well-known time messages and ours.

extension GoogleProtobuf.Timestamp {
  /// From microseconds since 1970-01-01T00:00:00Z.
  package init(microseconds: Int64) {
    self.init()
    let (seconds, rest) = microseconds.quotientAndRemainder(dividingBy: 1_000_000)
    self.seconds = rest < 0 ? seconds - 1 : seconds
    nanos = Int32(rest < 0 ? rest + 1_000_000 : rest) * 1000
  }

  /// Microseconds since 1970-01-01T00:00:00Z, rounded down; nil outside the years 1 to 9999 or with impossible nanos.
  package var microseconds: Int64? {
    guard (-62_135_596_800...253_402_300_799).contains(seconds), (0...999_999_999).contains(nanos) else { return nil }
    return seconds * 1_000_000 + Int64(nanos / 1000)
  }
}

extension GoogleProtobuf.Duration {
  package init(_ duration: Swift.Duration) {
    self.init()
    seconds = duration.components.seconds
    nanos = Int32(duration.components.attoseconds / 1_000_000_000)
  }
}
