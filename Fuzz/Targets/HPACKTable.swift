// What a client's HPACK encoder remembers: a head that comes again is written as indices, as real clients do.

/// RFC 7541 2.3.2, at the size that a connection begins with.
struct HPACKTable {
  private static let maximumBytes = 4096
  /// The index of the newest entry (RFC 7541 2.3.3).
  private static let firstIndex = 62

  /// Newest first.
  private var entries: [(name: String, value: String)] = []
  private var byteCount = 0

  /// A field that is known as its index (6.1), any other as a literal that is known from now on (6.2.1).
  mutating func block(_ fields: [(String, String)]) -> [UInt8] { fields.flatMap { field($0, $1) } }

  private mutating func field(_ name: String, _ value: String) -> [UInt8] {
    if let index = entries.firstIndex(where: { $0.name == name && $0.value == value }) {
      return HTTP2Frame.integer(Self.firstIndex + index, flag: 0x80)
    }
    entries.insert((name, value), at: 0)
    byteCount += Self.size(name, value)
    while byteCount > Self.maximumBytes, let oldest = entries.popLast() {
      byteCount -= Self.size(oldest.name, oldest.value)
    }
    return [0x40] + HTTP2Frame.text(name) + HTTP2Frame.text(value)
  }

  /// RFC 7541 4.1.
  private static func size(_ name: String, _ value: String) -> Int { name.utf8.count + value.utf8.count + 32 }
}
