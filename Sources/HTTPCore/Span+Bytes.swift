// Comparing and copying runs of bytes. A fence: Array has no bulk append from a Span yet, and a loop costs 1 ns a byte.

extension Span<UInt8> {
  package func isEqual(to text: String) -> Bool {
    count == text.utf8.count && hasPrefix(text)
  }

  package func hasPrefix(_ text: String) -> Bool {
    let wanted = text.utf8.span
    guard count >= wanted.count else { return false }
    for index in wanted.indices where self[index] != wanted[index] { return false }
    return true
  }

  /// Whether these are the bytes of a literal: costs no String.
  @inline(__always)
  package func matches(_ literal: StaticString) -> Bool {
    guard count == literal.utf8CodeUnitCount else { return false }
    let wanted = unsafe Span(_unsafeStart: literal.utf8Start, count: literal.utf8CodeUnitCount)
    for index in indices where self[index] != wanted[index] { return false }
    return true
  }

  package func equals(_ other: Span<UInt8>) -> Bool {
    guard count == other.count else { return false }
    for index in indices where self[index] != other[index] { return false }
    return true
  }

  /// The bytes as text; ill-formed UTF-8 becomes U+FFFD.
  package var text: String { String(decoding: [UInt8](copying: self), as: UTF8.self) }
}

extension Array where Element == UInt8 {
  package init(copying span: Span<UInt8>) {
    self.init()
    append(copying: span)
  }

  package mutating func append(copying span: Span<UInt8>) {
    unsafe span.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
  }
}
