// Comparing and copying runs of bytes. A fence: Array has no bulk append from a Span yet, and a loop costs 1 ns a byte.

extension Span<UInt8> {
  public func isEqual(to text: String) -> Bool {
    count == text.utf8.count && hasPrefix(text)
  }

  public func hasPrefix(_ text: String) -> Bool {
    let wanted = text.utf8.span
    guard count >= wanted.count else { return false }
    for index in wanted.indices where self[index] != wanted[index] { return false }
    return true
  }

  /// Whether these are the bytes of a literal: costs no String.
  @inline(__always)
  public func matches(_ literal: StaticString) -> Bool {
    guard count == literal.utf8CodeUnitCount else { return false }
    let wanted = unsafe Span(_unsafeStart: literal.utf8Start, count: literal.utf8CodeUnitCount)
    for index in indices where self[index] != wanted[index] { return false }
    return true
  }

  public func equals(_ other: Span<UInt8>) -> Bool {
    guard count == other.count else { return false }
    // Eight at once, the last of them perhaps twice: names and ids are short, and compared for each reading.
    let (one, other) = unsafe (bytes, other.bytes)
    func areEqual<Word: FixedWidthInteger & BitwiseCopyable>(at offset: Int, _ word: Word.Type) -> Bool {
      unsafe one.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: word)
        == other.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: word)
    }
    if count >= 8 {
      for offset in stride(from: 0, to: count - 8, by: 8) where !areEqual(at: offset, UInt64.self) { return false }
      return areEqual(at: count - 8, UInt64.self)
    }
    if count >= 4 { return areEqual(at: 0, UInt32.self) && areEqual(at: count - 4, UInt32.self) }
    for offset in 0..<count where !areEqual(at: offset, UInt8.self) { return false }
    return true
  }

  /// The bytes as text; ill-formed UTF-8 becomes U+FFFD.
  public var text: String { String(decoding: [UInt8](copying: self), as: UTF8.self) }
}

extension Array where Element == UInt8 {
  public init(copying span: Span<UInt8>) {
    self.init()
    append(copying: span)
  }

  public mutating func append(copying span: Span<UInt8>) {
    unsafe span.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
  }
}
