// Writes protobuf wire bytes: what the hot path sends without libprotobuf-c.
internal import HTTPCore

extension [UInt8] {
  mutating func append(varint value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    append(UInt8(rest))
  }

  mutating func append(_ tag: WireTag) { append(varint: UInt64(tag.rawValue)) }

  /// A field without presence: 0 is not sent.
  mutating func append(field number: UInt32, varint value: UInt64) {
    guard value != 0 else { return }
    append(WireTag(number, .varint))
    append(varint: value)
  }

  mutating func append(field number: UInt32, fixed32 value: UInt32) {
    append(WireTag(number, .fixed32))
    for shift in stride(from: 0 as UInt32, to: 32, by: 8) { append(UInt8(truncatingIfNeeded: value >> shift)) }
  }

  /// A string or bytes field without presence: an empty one is not sent.
  mutating func append(field number: UInt32, bytes: some Collection<UInt8>) {
    guard !bytes.isEmpty else { return }
    append(WireTag(number, .bytes))
    append(varint: UInt64(bytes.count))
    append(contentsOf: bytes)
  }
}

/// A few numbers on their way out, gathered first: each byte appended to an array asks the array whether it has room
/// and an owner.
struct WireNumbers {
  /// Two tags with a length and six fields, each of 11 bytes at most.
  private var gathered = InlineArray<96, UInt8>(repeating: 0)
  private var count = 0

  func append(to output: inout [UInt8]) { output.append(copying: gathered.span.extracting(0..<count)) }

  @inline(__always) mutating func append(varint value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    append(UInt8(truncatingIfNeeded: rest))
  }

  @inline(__always) private mutating func append(_ byte: UInt8) {
    gathered[count] = byte
    count += 1
  }

  @inline(__always) mutating func append(_ tag: WireTag) { append(varint: UInt64(tag.rawValue)) }

  /// A field without presence: 0 is not sent.
  @inline(__always) mutating func append(field number: UInt32, varint value: UInt64) {
    guard value != 0 else { return }
    append(WireTag(number, .varint))
    append(varint: value)
  }
}

/// Bytes that `value` takes as a varint.
func varintByteCount(_ value: UInt64) -> Int {
  (UInt64.bitWidth - (value | 1).leadingZeroBitCount + 6) / 7
}

/// Bytes of a varint field without presence.
func fieldByteCount(_ number: UInt32, varint value: UInt64) -> Int {
  value == 0 ? 0 : varintByteCount(UInt64(number) << 3) + varintByteCount(value)
}

/// Bytes of a string or message field of that length.
func fieldByteCount(_ number: UInt32, byteCount: Int) -> Int {
  varintByteCount(UInt64(number) << 3) + varintByteCount(UInt64(byteCount)) + byteCount
}
