// The rows of one answer, read in place from libpq's memory. Fence file: libpq.
internal import CLibpq

/// Rows of a query, in binary. Not Sendable: decoded on the thread that asked.
///
/// Each accessor must fit the column's type; that is the query's own affair, so a misfit is a programmer error.
@safe package final class PostgresRows {
  private let result: OpaquePointer
  package let count: Int

  init(taking result: OpaquePointer) {
    unsafe self.result = unsafe result
    count = unsafe Int(PQntuples(result))
  }

  deinit { unsafe PQclear(result) }

  package func isNull(_ row: Int, _ column: Int) -> Bool {
    unsafe PQgetisnull(result, Int32(row), Int32(column)) == 1
  }

  package func bool(_ row: Int, _ column: Int) -> Bool {
    withBytes(row, column) { bytes in
      precondition(bytes.byteCount == 1, "column \(column) is not a boolean")
      return unsafe bytes.unsafeLoad(as: UInt8.self) != 0
    }
  }

  package func int32(_ row: Int, _ column: Int) -> Int32 { integer(row, column) }

  package func int64(_ row: Int, _ column: Int) -> Int64 { integer(row, column) }

  package func float(_ row: Int, _ column: Int) -> Float { Float(bitPattern: integer(row, column)) }

  /// Microseconds since 1970-01-01T00:00:00Z.
  package func timestamp(_ row: Int, _ column: Int) -> Int64 { PostgresTime.toUnix(integer(row, column)) }

  package func text(_ row: Int, _ column: Int) -> String {
    String(decoding: bytes(row, column), as: UTF8.self)
  }

  package func bytes(_ row: Int, _ column: Int) -> [UInt8] {
    var copy: [UInt8] = []
    append(row, column, to: &copy)
    return copy
  }

  /// Appends a text or bytea to a buffer that the caller reuses.
  package func append(_ row: Int, _ column: Int, to buffer: inout [UInt8]) {
    let byteCount = unsafe Int(PQgetlength(result, Int32(row), Int32(column)))
    guard byteCount > 0, let start = unsafe PQgetvalue(result, Int32(row), Int32(column)) else { return }
    unsafe buffer.append(contentsOf: UnsafeRawBufferPointer(start: start, count: byteCount))
  }

  /// Whether a text or bytea equals bytes that the caller has already.
  package func equals(_ row: Int, _ column: Int, _ other: Span<UInt8>) -> Bool {
    withBytes(row, column) { bytes in
      guard bytes.byteCount == other.count else { return false }
      for index in other.indices where unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self) != other[index] {
        return false
      }
      return true
    }
  }

  private func integer<Value: FixedWidthInteger & BitwiseCopyable>(_ row: Int, _ column: Int) -> Value {
    withBytes(row, column) { bytes in
      precondition(bytes.byteCount == Value.bitWidth / 8, "column \(column) has \(bytes.byteCount) bytes")
      return Value(bigEndian: unsafe bytes.unsafeLoadUnaligned(as: Value.self))
    }
  }

  private func withBytes<Value>(_ row: Int, _ column: Int, _ body: (RawSpan) -> Value) -> Value {
    // libpq returns a pointer into the result for any valid row and column, and terminates even an empty value.
    let byteCount = unsafe Int(PQgetlength(result, Int32(row), Int32(column)))
    guard let start = unsafe PQgetvalue(result, Int32(row), Int32(column)) else {
      preconditionFailure("no column \(column) in row \(row)")
    }
    return unsafe body(RawSpan(_unsafeStart: UnsafeRawPointer(start), byteCount: byteCount))
  }
}
