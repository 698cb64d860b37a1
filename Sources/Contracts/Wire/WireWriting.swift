// Writes protobuf wire bytes: what the hot path sends without libprotobuf-c.

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
