// Bytes of ours as a text that clients hand back to us: page tokens, resume tokens.
import Foundation

/// base64url of the bytes and a checksum: a token that was cut short is malformed, not a token for another place.
package enum OpaqueToken {
  package static func text(of bytes: [UInt8]) -> String {
    let base64 = Data(bytes + checksum(bytes[...])).base64EncodedString()
    return base64.replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
  }

  /// Empty for a text that we did not make.
  package static func bytes(of text: String) -> [UInt8] {
    let padded = text.replacing("-", with: "+").replacing("_", with: "/")
      + String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
    let all = [UInt8](Data(base64Encoded: padded) ?? Data())
    let bytes = all.dropLast(4)
    return checksum(bytes) == Array(all.suffix(4)) ? Array(bytes) : []
  }

  /// Most significant byte first.
  package static func integer(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

  /// FNV-1a: against accidents. A forged token only reads what its caller could have read anyway.
  private static func checksum(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    bytes.reduce(UInt32(0x811C_9DC5)) { ($0 ^ UInt32($1)) &* 0x0100_0193 }.networkBytes
  }
}
