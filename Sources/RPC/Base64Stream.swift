// Base64 of a body that comes in pieces, as gRPC-Web's text form has it.
internal import HTTPCore

/// Takes digits as they come, split anywhere. Several texts may follow each other, each padded on its own.
struct Base64Stream {
  private var buffer: UInt32 = 0
  /// Digits of the group that is not complete.
  private var digits = 0
  /// Padding of the group: no digit may follow before its end.
  private var padding = 0

  /// Appends the bytes that are complete.
  /// - Returns: false when the text is no base64.
  mutating func decode(_ text: Span<UInt8>, into bytes: inout [UInt8]) -> Bool {
    for index in text.indices {
      if text[index] == UInt8(ascii: "=") {
        padding += 1
        guard digits >= 2, digits + padding <= 4 else { return false }
      } else {
        guard padding == 0, let value = Base64.value(of: text[index]) else { return false }
        buffer = buffer << 6 | value
        digits += 1
      }
      if digits + padding == 4 { flush(into: &bytes) }
    }
    return true
  }

  /// The end of the body.
  /// - Returns: false when a digit is missing. Padding may be missing at the very end.
  mutating func finish(into bytes: inout [UInt8]) -> Bool {
    guard digits != 1, padding == 0 else { return false }
    if digits > 0 { flush(into: &bytes) }
    return true
  }

  /// Four digits are three bytes, three are two, two are one; the bits beyond are void.
  private mutating func flush(into bytes: inout [UInt8]) {
    let bits = buffer << UInt32(6 * (4 - digits))
    for place in 0..<(digits * 6 / 8) { bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(16 - 8 * place))) }
    buffer = 0
    digits = 0
    padding = 0
  }
}
