// Integers in the journal's files: little endian, at any offset.

extension Span<UInt8> {
  /// Traps beyond the end: callers have checked the length.
  func integer<Value: FixedWidthInteger & UnsignedInteger>(at offset: Int, as: Value.Type = Value.self) -> Value {
    var value: Value = 0
    for index in 0..<MemoryLayout<Value>.size { value |= Value(self[offset + index]) << (8 * index) }
    return value
  }
}

extension [UInt8] {
  mutating func append(littleEndian value: some FixedWidthInteger & UnsignedInteger) {
    for index in 0..<(value.bitWidth / 8) { append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
  }

  mutating func replace(at offset: Int, littleEndian value: UInt32) {
    for index in 0..<4 { self[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
  }
}
