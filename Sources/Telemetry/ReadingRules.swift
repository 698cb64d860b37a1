// The rules a reading must pass to be stored, and what it gets instead when it does not.

/// Checks readings before they are stored. Pure: the caller says what time it is.
package struct ReadingRules: Sendable {
  /// Longest device or producer id, bytes (CONTRACT 2).
  package static let maximumIDBytes = 128
  /// Longest source system, bytes: a short name, not a document.
  package static let maximumSourceSystemBytes = 128

  /// How far ahead of our clock a reading may be, microseconds: 300 s (ESP_DOMAIN 4.1). Beyond: quarantined.
  package var maximumAheadMicroseconds: Int64
  /// How old a reading may be, microseconds: 30 days by default (ESP_DOMAIN 4.5). Beyond: quarantined.
  package var maximumAgeMicroseconds: Int64

  package init(maximumAhead: Duration = .seconds(300), maximumAge: Duration = .seconds(30 * 86_400)) {
    maximumAheadMicroseconds = maximumAhead.microseconds
    maximumAgeMicroseconds = maximumAge.microseconds
  }

  /// What is wrong with a reading, or nil when it is to be stored. Sentinels become missing signals and -0 becomes 0
  /// in place.
  package func check(_ reading: inout Reading, now: Int64) -> Problem? {
    if reading.timestamp > now + maximumAheadMicroseconds { return Problem(.timestampInFuture, "timestamp") }
    if reading.timestamp < now - maximumAgeMicroseconds { return Problem(.timestampTooOld, "timestamp") }
    var signals = reading.signals.rawValue
    while signals != 0 {
      let index = signals.trailingZeroBitCount
      signals &= signals - 1
      let value = reading.values[index]
      // Inside every range, and no sentinel lies there: nearly all values, so nearly all of the time.
      if value > 0, value < (index == Signal.temperature.rawValue ? 200 : Self.leastPositiveSentinel) { continue }
      if let problem = checkUncommon(value, at: index, of: &reading) { return problem }
    }
    return reading.signals.isEmpty ? Problem(.noSignals, "") : nil
  }

  /// 32767: below it every positive value is a value.
  private static let leastPositiveSentinel: Float = 32_767

  private func checkUncommon(_ value: Float, at index: Int, of reading: inout Reading) -> Problem? {
    guard let signal = Signal(rawValue: index) else { return nil }
    if !value.isFinite { return Problem(.nonFiniteValue, signal.name) }
    if Self.isSentinel(value) {
      reading[signal] = nil
    } else if !signal.acceptedRange.contains(value) {
      return Problem(.outOfRange, signal.name)
    } else if value == 0 {
      reading.values[index] = 0
    }
    return nil
  }

  /// Why a reading is quarantined, and the field at fault.
  package struct Problem: Equatable, Sendable {
    package var reason: Verdict.Reason
    package var field: String

    package init(_ reason: Verdict.Reason, _ field: String) {
      self.reason = reason
      self.field = field
    }
  }

  /// Numbers that gauges send for "no value" (ESP_DOMAIN 4.4): missing values, not errors.
  static func isSentinel(_ value: Float) -> Bool {
    value == -999.25 || value == -9999 || value == 65535 || value == 32767 || abs(value - 94906.898) <= 0.01
  }

  /// 1..128 bytes of [A-Za-z0-9._:-]: device and producer ids.
  package static func isValidID(_ bytes: Span<UInt8>) -> Bool {
    guard bytes.count >= 1, bytes.count <= maximumIDBytes else { return false }
    for index in bytes.indices where !isIDByte(bytes[index]) { return false }
    return true
  }

  private static func isIDByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
         UInt8(ascii: "0")...UInt8(ascii: ":"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"): true
    default: false
    }
  }
}

extension Duration {
  /// Whole microseconds, truncated.
  package var microseconds: Int64 { components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000 }
}
