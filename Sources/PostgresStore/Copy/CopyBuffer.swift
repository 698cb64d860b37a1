// Rows in the form of binary COPY (PostgreSQL 15 manual, COPY, "Binary Format"), in a buffer that is reused. Fence file: stores
// numbers into bytes.

/// Builds the bytes of one `COPY ... FROM STDIN BINARY`. All numbers are in network byte order.
///
/// Room is made once a row, and then each field is one or two checked stores: measured at a third of the cost of
/// appending to an array field by field.
package struct CopyBuffer: Sendable {
  /// Signature, flags, length of the header extension.
  private static let header: [UInt8] = [0x50, 0x47, 0x43, 0x4F, 0x50, 0x59, 0x0A, 0xFF, 0x0D, 0x0A, 0x00]
    + [UInt8](repeating: 0, count: 8)

  private var storage: [UInt8]
  private(set) var byteCount = 0
  package private(set) var rowCount = 0

  package init() {
    storage = Self.header
    reset()
  }

  /// Empties it; keeps the memory.
  package mutating func reset() {
    byteCount = Self.header.count
    rowCount = 0
  }

  /// Opens a row and makes room for it: `maximumBytes` is what its fields take at most, lengths included.
  @inline(__always) mutating func beginRow(fieldCount: Int, maximumBytes: Int) {
    let needed = byteCount + 2 + maximumBytes
    if needed > storage.count { grow(to: needed) }
    store(UInt16(truncatingIfNeeded: fieldCount))
    rowCount += 1
  }

  @inline(__always) mutating func appendNull() { store(UInt32.max) }

  @inline(__always) mutating func append(_ value: Float) {
    store(UInt64(4) << 32 | UInt64(value.bitPattern))
  }

  @inline(__always) mutating func append(_ value: Int64) {
    store(UInt32(8))
    store(UInt64(bitPattern: value))
  }

  @inline(__always) mutating func append(_ value: Int32) {
    store(UInt64(4) << 32 | UInt64(UInt32(bitPattern: value)))
  }

  @inline(__always) mutating func append(_ value: Bool) {
    store(UInt32(1))
    store(UInt8(value ? 1 : 0))
  }

  /// A text or bytea.
  @inline(__always) mutating func append(_ bytes: borrowing Span<UInt8>) {
    store(UInt32(truncatingIfNeeded: bytes.count))
    let start = byteCount
    var target = storage.mutableSpan
    for index in bytes.indices { target[start + index] = bytes[index] }
    byteCount = start + bytes.count
  }

  mutating func append(_ bytes: [UInt8]) {
    let span = bytes.span
    append(span)
  }

  /// Closes the data and lends it.
  mutating func withFinished<Value, Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Value
  ) throws(Failure) -> Value {
    if byteCount + 2 > storage.count { grow(to: byteCount + 2) }
    let end = byteCount
    store(UInt16.max)
    defer { byteCount = end }
    return try body(storage.span.extracting(0..<byteCount))
  }

  @inline(__always) private mutating func store<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value) {
    let start = byteCount
    var span = storage.mutableSpan
    var bytes = unsafe span.mutableBytes
    bytes.storeBytes(of: value.bigEndian, toByteOffset: start, as: Value.self)
    byteCount = start + MemoryLayout<Value>.size
  }

  @inline(never) private mutating func grow(to byteCount: Int) {
    storage.append(contentsOf: repeatElement(0, count: max(byteCount, storage.count * 2) - storage.count))
  }
}
