// Metadata both ways: base64 of `-bin` fields, percent-encoded status messages, lists of encodings.
import HTTPCore
import RPC
import Status

extension FuzzTarget {
  static let metadata = FuzzTarget("metadata", seeds: [
    "base64": Array("AQID".utf8), "padded": Array("AQ==".utf8), "several": Array("AQID, BAUG,,/+8=".utf8),
    "text": Array("100 % of Ünits \u{1F600} ".utf8), "encodings": Array("br, gzip,deflate".utf8),
  ]) { bytes throws(FuzzFinding) in
    try checkBase64(bytes)
    try checkBinaryField(bytes)
    try checkPercentEncoding(String(decoding: bytes, as: UTF8.self))
    try checkEncodings(String(decoding: bytes, as: UTF8.self))
  }

  private static func checkBase64(_ bytes: [UInt8]) throws(FuzzFinding) {
    let encoded = Base64.encode(bytes)
    try FuzzFinding.require(Base64.decode(encoded.utf8) == bytes, "base64 \(encoded) is not read as it was written")
    let padded = encoded + String(repeating: "=", count: (4 - encoded.utf8.count % 4) % 4)
    try FuzzFinding.require(Base64.decode(padded.utf8) == bytes, "padded base64 \(padded) is read differently")
    guard let decoded = Base64.decode(bytes) else { return }
    // Not equal to `bytes`: the bits behind the last byte may be anything. But of the same length, and stable.
    let again = Base64.encode(decoded)
    try FuzzFinding.require(again.utf8.count == bytes.prefix { $0 != UInt8(ascii: "=") }.count, "base64 changes length")
    try FuzzFinding.require(Base64.decode(again.utf8) == decoded, "base64 is not stable")
  }

  private static func checkBinaryField(_ bytes: [UInt8]) throws(FuzzFinding) {
    var fields = HTTPFields()
    fields.append(name: Array("x-bin".utf8).span, value: bytes.span)
    let outcome = Result { () throws(RPCStatus) in try fields.binaryValues(of: "x-bin") }
    switch outcome {
    case .success(let values):
      let commas = bytes.count { $0 == UInt8(ascii: ",") }
      try FuzzFinding.require(values.count == commas + 1, "a field of \(commas + 1) values has \(values.count)")
    case .failure(let status):
      try FuzzFinding.require(status.code == .invalidArgument, "a field that is not base64 is answered \(status)")
    }
  }

  private static func checkPercentEncoding(_ text: String) throws(FuzzFinding) {
    let encoded = StatusFields.percentEncoded(text)
    try FuzzFinding.require(encoded.utf8.allSatisfy { (0x20...0x7E).contains($0) }, "\(encoded) is no field value")
    try FuzzFinding.require(!encoded.hasPrefix(" ") && !encoded.hasSuffix(" "), "a field value with a space at an end")
    try FuzzFinding.require(percentDecoded(encoded) == Array(text.utf8), "a status message changes: \(encoded)")
  }

  /// What a client does; nil when there is no such encoding.
  private static func percentDecoded(_ text: String) -> [UInt8]? {
    var decoded: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        decoded.append(byte)
        continue
      }
      guard let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else { return nil }
      decoded.append(value)
      rest = rest.dropFirst(2)
    }
    return decoded
  }

  private static func checkEncodings(_ text: String) throws(FuzzFinding) {
    let best = MessageEncoding.best(accepted: [text])
    try FuzzFinding.require(best == .identity || text.contains(best.name), "\(best) was not named in \(text)")
  }
}
