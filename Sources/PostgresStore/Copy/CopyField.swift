// The fields of a COPY row: a length of four bytes and the value, all in network byte order.

extension MutableRawSpan {
  /// Opens a row.
  @inline(__always) mutating func put(fieldCount: Int, _ offset: inout Int) {
    store(UInt16(truncatingIfNeeded: fieldCount), &offset)
  }

  @inline(__always) mutating func putNull(_ offset: inout Int) { store(UInt32.max, &offset) }

  @inline(__always) mutating func put(_ value: Float, _ offset: inout Int) {
    store(UInt64(4) << 32 | UInt64(value.bitPattern), &offset)
  }

  @inline(__always) mutating func put(_ value: Int64, _ offset: inout Int) {
    store(UInt32(8), &offset)
    store(UInt64(bitPattern: value), &offset)
  }

  @inline(__always) mutating func put(_ value: Bool, _ offset: inout Int) {
    store(UInt32(1), &offset)
    store(UInt8(value ? 1 : 0), &offset)
  }

  /// A text or bytea.
  @inline(__always) mutating func put(_ bytes: Span<UInt8>, _ offset: inout Int) {
    store(UInt32(truncatingIfNeeded: bytes.count), &offset)
    for index in bytes.indices { storeBytes(of: bytes[index], toByteOffset: offset + index, as: UInt8.self) }
    offset += bytes.count
  }

  mutating func put(_ bytes: [UInt8], _ offset: inout Int) {
    let span = bytes.span
    put(span, &offset)
  }

  @inline(__always) private mutating func store<Value: FixedWidthInteger & BitwiseCopyable>(
    _ value: Value, _ offset: inout Int
  ) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: Value.self)
    offset &+= MemoryLayout<Value>.size
  }
}
