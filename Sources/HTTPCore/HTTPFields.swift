// Header or trailer fields of one message: one buffer for all names and values, so that a request costs no String.

/// Fields in the order in which they came or will be sent. Names are lower case.
package struct HTTPFields: Sendable, Equatable {
  private struct Entry: Sendable, Equatable {
    var nameOffset: Int32
    var nameByteCount: Int32
    var valueByteCount: Int32

    var name: Range<Int> { Int(nameOffset)..<Int(nameOffset + nameByteCount) }
    var value: Range<Int> {
      Int(nameOffset + nameByteCount)..<Int(nameOffset + nameByteCount + valueByteCount)
    }
  }

  private var bytes: [UInt8] = []
  private var entries: [Entry] = []

  package init() {}

  package init(_ fields: [(name: String, value: String)]) {
    for field in fields { append(field.name, field.value) }
  }

  package var count: Int { entries.count }

  /// Names and values together, with the 32 bytes a field that RFC 9113 6.5.2 adds for SETTINGS_MAX_HEADER_LIST_SIZE.
  package var listByteCount: Int { bytes.count + 32 * entries.count }

  package mutating func append(name: Span<UInt8>, value: Span<UInt8>) {
    let offset = bytes.count
    bytes.append(copying: name)
    bytes.append(copying: value)
    entries.append(Entry(nameOffset: Int32(offset), nameByteCount: Int32(name.count),
                         valueByteCount: Int32(value.count)))
  }

  package mutating func append(_ name: String, _ value: String) {
    let offset = bytes.count
    bytes.append(contentsOf: name.utf8)
    bytes.append(contentsOf: value.utf8)
    entries.append(Entry(nameOffset: Int32(offset), nameByteCount: Int32(name.utf8.count),
                         valueByteCount: Int32(value.utf8.count)))
  }

  package mutating func append(contentsOf other: HTTPFields) { other.forEach { append(name: $0, value: $1) } }

  package mutating func removeAll(keepingCapacity: Bool) {
    bytes.removeAll(keepingCapacity: keepingCapacity)
    entries.removeAll(keepingCapacity: keepingCapacity)
  }

  /// The first value of `name`.
  package subscript(name: String) -> String? {
    firstIndex(of: name).map { String(decoding: bytes[entries[$0].value], as: UTF8.self) }
  }

  /// All values of `name`, in order.
  package func values(of name: String) -> [String] {
    entries.filter { bytes.span.extracting($0.name).isEqual(to: name) }
      .map { String(decoding: bytes[$0.value], as: UTF8.self) }
  }

  package func firstIndex(of name: String) -> Int? {
    let byteCount = Int32(name.utf8.count)
    return entries.firstIndex {
      $0.nameByteCount == byteCount && bytes.span.extracting($0.name).isEqual(to: name)
    }
  }

  /// Gives the value of field `index` without making a String of it.
  package func withValue<Result>(at index: Int, _ body: (Span<UInt8>) -> Result) -> Result {
    body(bytes.span.extracting(entries[index].value))
  }

  /// Gives every field, in order.
  package func forEach(_ body: (_ name: Span<UInt8>, _ value: Span<UInt8>) -> Void) {
    for entry in entries { body(bytes.span.extracting(entry.name), bytes.span.extracting(entry.value)) }
  }
}

extension HTTPFields: CustomStringConvertible {
  package var description: String {
    entries.map { entry in
      "\(String(decoding: bytes[entry.name], as: UTF8.self)): \(String(decoding: bytes[entry.value], as: UTF8.self))"
    }.joined(separator: "\n")
  }
}
