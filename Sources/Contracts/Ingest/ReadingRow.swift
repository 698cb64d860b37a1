// One esp.v1.Reading as it lies on the wire.
import Telemetry

/// The fields of a reading before any rule is applied. Its texts are places in the message.
struct ReadingRow {
  /// Signals and quality; the rest is filled in when it has passed.
  var reading = Reading(timestamp: 0, deviceID: TextSlice(offset: 0, byteCount: 0))
  var deviceID = 0..<0
  var sourceSystem = 0..<0
  private(set) var hasTimestamp = false
  // Bits, not SignalSet: OptionSet's generic operations cost 6 ns a signal across modules.
  var signalBits: UInt16 = 0
  /// What is known of the values so far.
  var look = ReadingRules.ValueLook()
  private var seconds: Int64 = 0
  private var nanos: Int32 = 0

  init() {}

  /// Reads the fields of a message or of one piece of it: what comes later wins.
  mutating func merge(_ piece: Range<Int>, in bytes: Span<UInt8>) throws(WireError) {
    var cursor = WireCursor(mergeUsual(piece, in: bytes)..<piece.upperBound)
    if !cursor.isAtEnd { try mergeRest(&cursor, in: bytes) }
    reading.signals = SignalSet(rawValue: signalBits)
  }

  /// From the first field on that `mergeUsual` leaves: anything that protobuf allows.
  private mutating func mergeRest(_ cursor: inout WireCursor, in bytes: Span<UInt8>) throws(WireError) {
    while !cursor.isAtEnd {
      let tag = try cursor.tag(in: bytes)
      if let signal = Self.signal(tag) {
        let value = try cursor.fixed32(in: bytes)
        reading.values[signal] = Float(bitPattern: value)
        look.note(value, of: signal)
        signalBits |= 1 << UInt16(truncatingIfNeeded: signal)
        continue
      }
      switch tag {
      case WireTag(1, .bytes): deviceID = try cursor.payload(in: bytes)
      case WireTag(2, .bytes): try mergeTimestamp(cursor.payload(in: bytes), in: bytes)
      case WireTag(11, .bytes): sourceSystem = try cursor.payload(in: bytes)
      case WireTag(12, .varint): reading.quality = UInt32(truncatingIfNeeded: try cursor.varint(in: bytes))
      default: try cursor.skip(tag, in: bytes)
      }
    }
  }

  /// Of a timestamp, or a piece of one; nanos nil: not in it.
  @inline(__always) mutating func take(seconds: UInt64, nanos: UInt64?) {
    hasTimestamp = true
    self.seconds = Int64(bitPattern: seconds)
    if let nanos { self.nanos = Int32(truncatingIfNeeded: nanos) }
  }

  /// Microseconds since 1970, rounded down; nil when it is no valid google.protobuf.Timestamp.
  var timestamp: Int64? {
    guard Self.seconds.contains(seconds), (0..<1_000_000_000).contains(nanos) else { return nil }
    return seconds * 1_000_000 + Int64(nanos / 1_000)
  }

  private mutating func mergeTimestamp(_ piece: Range<Int>, in bytes: Span<UInt8>) throws(WireError) {
    hasTimestamp = true
    var cursor = WireCursor(piece)
    while !cursor.isAtEnd {
      let tag = try cursor.tag(in: bytes)
      switch tag {
      case WireTag(1, .varint): seconds = Int64(bitPattern: try cursor.varint(in: bytes))
      case WireTag(2, .varint): nanos = Int32(truncatingIfNeeded: try cursor.varint(in: bytes))
      default: try cursor.skip(tag, in: bytes)
      }
    }
  }

  /// Fields 3-10 and 13-17 are the signals, in the order of `Signal`.
  @inline(__always) static func signal(_ tag: WireTag) -> Int? {
    guard tag.rawValue & 7 == WireType.fixed32.rawValue else { return nil }
    switch tag.number {
    case 3...10: return Int(tag.number) - 3
    case 13...17: return Int(tag.number) - 5
    default: return nil
    }
  }

  /// 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z, the range of google.protobuf.Timestamp.
  static let seconds: ClosedRange<Int64> = -62_135_596_800...253_402_300_799
  /// The same in microseconds.
  static let microseconds = seconds.lowerBound * 1_000_000...seconds.upperBound * 1_000_000 + 999_999
}
