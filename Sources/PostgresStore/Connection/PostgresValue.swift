// Parameters of a query, in PostgreSQL's binary form.

/// One parameter, sent in binary with its type, so that the server neither guesses nor parses.
package enum PostgresValue: Sendable, Equatable {
  case null
  case bool(Bool)
  case int64(Int64)
  case float(Float)
  case text(String)
  case bytes([UInt8])
  /// Microseconds since 1970-01-01T00:00:00Z.
  case timestamp(Int64)
  case int64s([Int64])
  case texts([String])

  /// Object ids of src/include/catalog/pg_type.dat; 0 = the server decides.
  var typeID: UInt32 {
    switch self {
    case .null: 0
    case .bool: 16
    case .bytes: 17
    case .int64: 20
    case .text: 25
    case .float: 700
    case .texts: 1009
    case .int64s: 1016
    case .timestamp: 1184
    }
  }

  /// The bytes of each type's `..._recv` function; nil = NULL.
  var encoded: [UInt8]? {
    switch self {
    case .null: nil
    case .bool(let value): [value ? 1 : 0]
    case .int64(let value): value.networkBytes
    case .float(let value): value.bitPattern.networkBytes
    case .text(let value): Array(value.utf8)
    case .bytes(let value): value
    case .timestamp(let value): PostgresTime.fromUnix(value).networkBytes
    case .int64s(let values): Self.array(of: 20, values.map(\.networkBytes))
    case .texts(let values): Self.array(of: 25, values.map { Array($0.utf8) })
    }
  }

  /// array_recv: dimensions, has-NULLs, element type, then each dimension's size and lower bound, then the elements.
  private static func array(of typeID: UInt32, _ elements: [[UInt8]]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes += UInt32(elements.isEmpty ? 0 : 1).networkBytes + UInt32(0).networkBytes + typeID.networkBytes
    guard !elements.isEmpty else { return bytes }
    bytes += UInt32(elements.count).networkBytes + UInt32(1).networkBytes
    for element in elements { bytes += UInt32(element.count).networkBytes + element }
    return bytes
  }
}

/// PostgreSQL counts microseconds from 2000-01-01T00:00:00Z.
enum PostgresTime {
  static let epochMicroseconds: Int64 = 946_684_800_000_000

  /// Saturates: the server refuses what lies outside its range, we never trap on a client's number.
  @inline(__always) static func fromUnix(_ microseconds: Int64) -> Int64 {
    let (value, overflow) = microseconds.subtractingReportingOverflow(epochMicroseconds)
    return overflow ? .min : value
  }

  @inline(__always) static func toUnix(_ microseconds: Int64) -> Int64 {
    let (value, overflow) = microseconds.addingReportingOverflow(epochMicroseconds)
    return overflow ? .max : value
  }
}

extension FixedWidthInteger {
  /// Most significant byte first.
  var networkBytes: [UInt8] {
    (0..<Self.bitWidth / 8).reversed().map { UInt8(truncatingIfNeeded: self >> ($0 * 8)) }
  }
}
