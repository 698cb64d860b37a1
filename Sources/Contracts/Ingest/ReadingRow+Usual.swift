// Reads the fields of a reading as nearly all readings have them. A fence: loads of four and eight bytes, and bounds
// looked at once a field: byte by byte, with a check for each, fields were a fourth of a stream's profile.
import Telemetry

/// Whatever is not usual ends the usual part: an unknown field, another wire type, a length of two bytes, an end inside
/// a field. `ReadingRow.merge` goes on from there, and the differential tests hold both to libprotobuf-c.
extension ReadingRow {
  /// Takes fields from the front of a piece and returns where the first begins that is not usual, or the end.
  @inline(__always)
  mutating func mergeUsual(_ piece: Range<Int>, in bytes: Span<UInt8>) -> Int {
    precondition(piece.lowerBound >= 0 && piece.upperBound <= bytes.count, "a piece lies inside its message")
    let raw = unsafe bytes.bytes
    let end = piece.upperBound
    var position = piece.lowerBound
    // In registers until the end: the next field need not wait for what this one wrote.
    var (bits, look) = (signalBits, look)
    defer { (signalBits, self.look) = (bits, look) }
    while end - position >= 2 {
      let tag = unsafe WireTag(rawValue: UInt32(Self.byte(at: position, in: raw)))
      if let signal = Self.signal(tag), tag.rawValue < 0x80 {
        guard end - position >= 5 else { break }
        let value = unsafe UInt32(littleEndian: raw.unsafeLoadUnaligned(
          fromUncheckedByteOffset: position + 1, as: UInt32.self))
        unsafe reading.values[unchecked: signal] = Float(bitPattern: value)
        look.note(value, of: signal)
        bits |= 1 << UInt16(truncatingIfNeeded: signal)
        position += 5
        continue
      }
      let start = position + 2
      let byteCount = unsafe Int(Self.byte(at: position + 1, in: raw))
      guard byteCount < 0x80, byteCount <= end - start else { break }
      switch tag {
      case WireTag(1, .bytes): deviceID = start..<start + byteCount
      case WireTag(11, .bytes): sourceSystem = start..<start + byteCount
      case WireTag(2, .bytes):
        guard unsafe mergeUsualTimestamp(start..<start + byteCount, in: raw) else { return position }
      default: return position
      }
      position = start + byteCount
    }
    return position
  }

  /// Seconds, then perhaps nanos, and nothing else; false when it is not so, and nothing was taken.
  @unsafe @inline(__always)
  private mutating func mergeUsualTimestamp(_ piece: Range<Int>, in raw: RawSpan) -> Bool {
    // The tag and varint that a load takes as a whole: 1 and 8 bytes, twice.
    guard raw.byteCount - piece.lowerBound >= 18, piece.count >= 2,
          unsafe Self.byte(at: piece.lowerBound, in: raw) == WireTag(1, .varint).rawValue,
          let seconds = unsafe Self.varint(in: raw, at: piece.lowerBound + 1) else { return false }
    var position = piece.lowerBound + 1 + seconds.byteCount
    var nanos: UInt64?
    if position < piece.upperBound {
      guard unsafe Self.byte(at: position, in: raw) == WireTag(2, .varint).rawValue,
            let value = unsafe Self.varint(in: raw, at: position + 1) else { return false }
      nanos = value.value
      position += 1 + value.byteCount
    }
    guard position == piece.upperBound else { return false }
    take(seconds: seconds.value, nanos: nanos)
    return true
  }

  @unsafe @inline(__always)
  private static func byte(at position: Int, in raw: RawSpan) -> UInt8 {
    unsafe raw.unsafeLoadUnaligned(fromUncheckedByteOffset: position, as: UInt8.self)
  }

  /// A varint of up to 8 bytes, of which 8 can be read; all of them at once, because where it ends is different each
  /// time and a loop's branch can't be foreseen.
  @unsafe @inline(__always)
  private static func varint(in raw: RawSpan, at position: Int) -> (value: UInt64, byteCount: Int)? {
    let word = unsafe UInt64(littleEndian: raw.unsafeLoadUnaligned(
      fromUncheckedByteOffset: position, as: UInt64.self))
    let ends = ~word & 0x8080_8080_8080_8080
    guard ends != 0 else { return nil }
    // Up to the first byte without a continuation bit; then its groups of 7 bits move together, in pairs.
    var value = word & (ends ^ (ends &- 1)) & 0x7f7f_7f7f_7f7f_7f7f
    value = value & 0x007f_007f_007f_007f | (value & 0x7f00_7f00_7f00_7f00) >> 1
    value = value & 0x0000_3fff_0000_3fff | (value & 0x3fff_0000_3fff_0000) >> 2
    value = value & 0x0000_0000_0fff_ffff | (value & 0x0fff_ffff_0000_0000) >> 4
    return (value, ends.trailingZeroBitCount / 8 + 1)
  }
}
