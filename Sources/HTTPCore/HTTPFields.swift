// Header or trailer fields of one message: one buffer for all names and values, so that a request costs no String.

/// Fields in the order in which they came or will be sent. Names are lower case.
public struct HTTPFields: Sendable, Equatable {
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
  /// For each `KnownField` a byte: the index of its first field and one, 0 = none came.
  private var known: UInt64 = 0

  public init() {}

  public init(_ fields: [(name: String, value: String)]) {
    for field in fields { append(field.name, field.value) }
  }

  public var count: Int { entries.count }

  /// Names and values together, with the 32 bytes a field that RFC 9113 6.5.2 adds for SETTINGS_MAX_HEADER_LIST_SIZE.
  public var listByteCount: Int { bytes.count + 32 * entries.count }

  public mutating func append(name: Span<UInt8>, value: Span<UInt8>) {
    let offset = bytes.count
    bytes.append(copying: name)
    bytes.append(copying: value)
    if let field = KnownField(name: name) { note(field) }
    entries.append(Entry(nameOffset: Int32(offset), nameByteCount: Int32(name.count),
                         valueByteCount: Int32(value.count)))
  }

  public mutating func append(_ name: String, _ value: String) {
    append(name: name.utf8.span, value: value.utf8.span)
  }

  private mutating func note(_ field: KnownField) {
    // 254 fields and more: found by looking, as any other.
    guard entries.count < 254, known >> field.shift & 0xff == 0 else { return }
    known |= UInt64(entries.count + 1) << field.shift
  }

  public mutating func append(contentsOf other: HTTPFields) { other.forEach { append(name: $0, value: $1) } }

  /// These fields and then those of `other`, if there are any.
  public func appending(_ other: HTTPFields?) -> HTTPFields {
    guard let other else { return self }
    var all = self
    all.append(contentsOf: other)
    return all
  }

  public mutating func removeAll(keepingCapacity: Bool) {
    known = 0
    bytes.removeAll(keepingCapacity: keepingCapacity)
    entries.removeAll(keepingCapacity: keepingCapacity)
  }

  /// The first value of `name`.
  public subscript(name: String) -> String? {
    firstIndex(of: name).map { String(decoding: bytes[entries[$0].value], as: UTF8.self) }
  }

  /// All values of `name`, in order.
  public func values(of name: String) -> [String] {
    entries.filter { bytes.span.extracting($0.name).isEqual(to: name) }
      .map { String(decoding: bytes[$0.value], as: UTF8.self) }
  }

  public func firstIndex(of name: String) -> Int? {
    let byteCount = Int32(name.utf8.count)
    return entries.firstIndex {
      $0.nameByteCount == byteCount && bytes.span.extracting($0.name).isEqual(to: name)
    }
  }

  /// The first field of a name that every request is asked for, found at once.
  public func firstIndex(of field: KnownField) -> Int? {
    let noted = Int(known >> field.shift & 0xff)
    if noted > 0 { return noted - 1 }
    return entries.count < 254 ? nil : firstIndex(of: field.name)
  }

  /// Gives the value of field `index` without making a String of it.
  public func withValue<Result>(at index: Int, _ body: (Span<UInt8>) -> Result) -> Result {
    body(bytes.span.extracting(entries[index].value))
  }

  /// Gives every field, in order.
  public func forEach(_ body: (_ name: Span<UInt8>, _ value: Span<UInt8>) -> Void) {
    for entry in entries { body(bytes.span.extracting(entry.name), bytes.span.extracting(entry.value)) }
  }
}

extension HTTPFields: CustomStringConvertible {
  public var description: String {
    entries.map { entry in
      "\(String(decoding: bytes[entry.name], as: UTF8.self)): \(String(decoding: bytes[entry.value], as: UTF8.self))"
    }.joined(separator: "\n")
  }
}
