// Rows in the form of binary COPY (PostgreSQL 15 manual, COPY, "Binary Format"), in a buffer that is reused.

/// Builds the bytes of one `COPY ... FROM STDIN BINARY`.
package struct CopyBuffer: Sendable {
  /// Signature, flags, length of the header extension.
  private static let header: [UInt8] = [0x50, 0x47, 0x43, 0x4F, 0x50, 0x59, 0x0A, 0xFF, 0x0D, 0x0A, 0x00]
    + [UInt8](repeating: 0, count: 8)
  private static let trailerBytes = 2

  private var storage: [UInt8]
  private var byteCount: Int
  package private(set) var rowCount = 0

  package init() {
    storage = Self.header
    byteCount = Self.header.count
  }

  /// Empties it; keeps the memory.
  package mutating func reset() {
    byteCount = Self.header.count
    rowCount = 0
  }

  /// Lends room for some rows, once: the array is checked for sharing here and not at each field, which made a row
  /// three times dearer. `body` writes rows from the offset it is given and leaves there the offset after them.
  @inline(__always)
  mutating func withRoom(forRows rows: Int, maximumBytes: Int, _ body: (inout MutableRawSpan, inout Int) -> Void) {
    let needed = byteCount + maximumBytes + Self.trailerBytes
    if needed > storage.count { grow(to: needed) }
    var offset = byteCount
    var span = storage.mutableSpan
    var bytes = unsafe span.mutableBytes
    body(&bytes, &offset)
    byteCount = offset
    rowCount += rows
  }

  /// Closes the data and lends it; more rows may be added afterwards.
  mutating func withFinished<Value, Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Value
  ) throws(Failure) -> Value {
    if byteCount + Self.trailerBytes > storage.count { grow(to: byteCount + Self.trailerBytes) }
    storage[byteCount] = 0xFF
    storage[byteCount + 1] = 0xFF
    return try body(storage.span.extracting(0..<byteCount + Self.trailerBytes))
  }

  @inline(never) private mutating func grow(to byteCount: Int) {
    storage.append(contentsOf: repeatElement(0, count: max(byteCount, storage.count * 2) - storage.count))
  }
}
