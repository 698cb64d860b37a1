// Base64 as gRPC uses it for binary metadata (RFC 4648, 4; gRPC over HTTP/2, "Binary-Header"), and gRPC-Web for bodies.

/// Metadata are sent without padding, received with or without.
package enum Base64 {
  package static func encode(_ bytes: [UInt8]) -> String {
    var encoded: [UInt8] = []
    encoded.reserveCapacity((bytes.count * 4 + 2) / 3)
    var buffer: UInt32 = 0
    var bits = 0
    for byte in bytes {
      buffer = buffer << 8 | UInt32(byte)
      bits += 8
      while bits >= 6 {
        bits -= 6
        encoded.append(digits[Int(buffer >> UInt32(bits)) & 63])
      }
    }
    if bits > 0 { encoded.append(digits[Int(buffer << UInt32(6 - bits)) & 63]) }
    return String(decoding: encoded, as: UTF8.self)
  }

  /// Appends the digits, padded to whole groups: further text may follow.
  static func appendPadded(_ bytes: [UInt8], to encoded: inout [UInt8]) {
    let digits = encode(bytes)
    encoded += Array(digits.utf8)
    for _ in 0..<((4 - digits.utf8.count % 4) % 4) { encoded.append(UInt8(ascii: "=")) }
  }

  /// The bytes, or nil when the text has a foreign character, a length that no bytes have, or false padding.
  package static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
    let unpadded = text.prefix { $0 != UInt8(ascii: "=") }
    let padding = text.dropFirst(unpadded.count)
    guard padding.allSatisfy({ $0 == UInt8(ascii: "=") }), unpadded.count % 4 != 1,
          padding.isEmpty || padding.count <= 2 && text.count % 4 == 0 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(unpadded.count * 3 / 4)
    var buffer: UInt32 = 0
    var bits = 0
    for digit in unpadded {
      guard let value = value(of: digit) else { return nil }
      buffer = buffer << 6 | value
      bits += 6
      if bits >= 8 {
        bits -= 8
        bytes.append(UInt8(truncatingIfNeeded: buffer >> UInt32(bits)))
      }
    }
    return bytes
  }

  static func value(of digit: UInt8) -> UInt32? {
    switch digit {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(digit - UInt8(ascii: "A"))
    case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(digit - UInt8(ascii: "a")) + 26
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(digit - UInt8(ascii: "0")) + 52
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }

  private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
}
