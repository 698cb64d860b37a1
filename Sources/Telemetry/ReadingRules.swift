// The rules a reading must pass to be stored, and what it gets instead when it does not.

/// Checks readings before they are stored. Pure: the caller says what time it is.
public struct ReadingRules: Sendable {
  /// Longest device or producer id, bytes (CONTRACT 2).
  public static let maximumIDBytes = 128
  /// Longest source system, bytes: a short name, not a document.
  public static let maximumSourceSystemBytes = 128

  /// How far ahead of our clock a reading may be, microseconds: 300 s (ESP_DOMAIN 4.1). Beyond: quarantined.
  public var maximumAheadMicroseconds: Int64
  /// How old a reading may be, microseconds: 30 days by default (ESP_DOMAIN 4.5). Beyond: quarantined.
  public var maximumAgeMicroseconds: Int64

  public init(maximumAhead: Duration = .seconds(300), maximumAge: Duration = .seconds(30 * 86_400)) {
    maximumAheadMicroseconds = maximumAhead.microseconds
    maximumAgeMicroseconds = maximumAge.microseconds
  }

  /// What is wrong with a reading, or nil when it is to be stored. Sentinels become missing signals and -0 becomes 0
  /// in place.
  /// - Parameter look: what is known of its values already; the values are not looked at again when it suffices.
  public func check(_ reading: inout Reading, now: Int64, look: ValueLook? = nil) -> Problem? {
    if reading.timestamp > now + maximumAheadMicroseconds { return Problem(.timestampInFuture, "timestamp") }
    if reading.timestamp < now - maximumAgeMicroseconds { return Problem(.timestampTooOld, "timestamp") }
    if let look, look.areAllCommon { return reading.signals.isEmpty ? Problem(.noSignals, "") : nil }
    return checkValues(&reading)
  }

  private func checkValues(_ reading: inout Reading) -> Problem? {
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

  /// Below it every positive value is a value.
  private static let leastPositiveSentinel: Float = 32_767

  /// Says of nearly all readings, while their values are read, that none of them needs a second look.
  public struct ValueLook: Sendable {
    @usableFromInline var isOneUncommon = false

    @inlinable public init() {}

    /// Whether each value noted lies inside every range, where no sentinel is.
    @inlinable public var areAllCommon: Bool { !isOneUncommon }

    /// Takes the bits of a value. Positive numbers are in the order of their bits; behind one less, zero is above them
    /// all, as are negative numbers and what is none.
    @inlinable @inline(__always)
    public mutating func note(_ bits: UInt32, of signal: Int) {
      let limit: Float = signal == Signal.temperature.rawValue ? 200 : 32_767
      isOneUncommon = isOneUncommon || bits &- 1 >= limit.bitPattern &- 1
    }
  }

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
  public struct Problem: Equatable, Sendable {
    public var reason: Verdict.Reason
    public var field: String

    public init(_ reason: Verdict.Reason, _ field: String) {
      self.reason = reason
      self.field = field
    }
  }

  /// Numbers that gauges send for "no value" (ESP_DOMAIN 4.4): missing values, not errors.
  static func isSentinel(_ value: Float) -> Bool {
    value == -999.25 || value == -9999 || value == 65535 || value == 32767 || abs(value - 94906.898) <= 0.01
  }

  /// 1..128 bytes of [A-Za-z0-9._:-]: device and producer ids.
  public static func isValidID(_ bytes: Span<UInt8>) -> Bool {
    guard bytes.count >= 1, bytes.count <= maximumIDBytes else { return false }
    // All of them, without a branch for each: ids are short, and their bytes come in no order.
    var legal: UInt64 = 1
    for index in bytes.indices { legal &= idBits(of: bytes[index]) }
    return legal & 1 == 1
  }

  /// The lowest bit is 1 for a byte that may stand in an id. Two words have a bit for each: `0`-`9`, `:`, `.` and `-`
  /// are below 64, letters and `_` below 128.
  @inline(__always)
  private static func idBits(of byte: UInt8) -> UInt64 {
    let legal: UInt64 = byte < 64 ? 0x07ff_6000_0000_0000 : byte < 128 ? 0x07ff_fffe_87ff_fffe : 0
    return legal >> UInt64(byte & 63)
  }
}

extension Duration {
  /// Whole microseconds, truncated.
  public var microseconds: Int64 { components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000 }
}
