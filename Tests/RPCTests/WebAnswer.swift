// What a gRPC-Web client reads from a body: messages, then one frame of trailers. Written by the specification alone.
import HTTPCore
import RPC
import TestSupport

/// The body is not what PROTOCOL-WEB.md allows.
struct MalformedWebAnswer: Error {
  let text: String
}

/// A whole answer.
struct WebAnswer: Equatable {
  var messages: [[UInt8]] = []
  /// The first byte of each message's frame.
  var flags: [UInt8] = []
  /// Line by line, as they came.
  var trailerLines: [String] = []

  init(_ exchange: MemoryExchange, isText: Bool = false) throws {
    var rest = isText ? try Self.decoded(exchange.output) : exchange.output
    guard exchange.isEnded else { throw MalformedWebAnswer(text: "the body has no end") }
    while true {
      guard rest.count >= 5 else { throw MalformedWebAnswer(text: "no frame of trailers: \(rest)") }
      let byteCount = rest[1..<5].reduce(0) { $0 << 8 | Int($1) }
      guard rest.count >= 5 + byteCount else { throw MalformedWebAnswer(text: "a frame is cut: \(rest)") }
      let frame = Array(rest[5..<(5 + byteCount)])
      let flag = rest[0]
      rest.removeFirst(5 + byteCount)
      if flag < 0x80 {
        flags.append(flag)
        messages.append(frame)
        continue
      }
      guard flag == 0x80, rest.isEmpty else { throw MalformedWebAnswer(text: "flag \(flag), then \(rest)") }
      trailerLines = try Self.lines(frame)
      return
    }
  }

  subscript(name: String) -> String? {
    trailerLines.first { $0.hasPrefix("\(name): ") }.map { String($0.dropFirst(name.count + 2)) }
  }

  /// Each group of four digits alone: padding may stand in any of them.
  private static func decoded(_ text: [UInt8]) throws -> [UInt8] {
    guard text.count % 4 == 0 else { throw MalformedWebAnswer(text: "\(text.count) digits") }
    return try stride(from: 0, to: text.count, by: 4).flatMap { start in
      guard let bytes = Base64.decode(text[start..<(start + 4)]) else {
        throw MalformedWebAnswer(text: "not base64: \(text[start..<(start + 4)])")
      }
      return bytes
    }
  }

  private static func lines(_ bytes: [UInt8]) throws -> [String] {
    var lines = String(decoding: bytes, as: UTF8.self).unicodeScalars.split(
      separator: "\n", omittingEmptySubsequences: false).map(String.init)
    guard lines.removeLast().isEmpty, lines.allSatisfy({ $0.hasSuffix("\r") && $0.contains(": ") }) else {
      throw MalformedWebAnswer(text: "the lines of the trailers: \(lines)")
    }
    return lines.map { String($0.unicodeScalars.dropLast()) }
  }
}

/// Base64 as a browser's `btoa` makes it: padded.
func base64(_ bytes: [UInt8]) -> [UInt8] {
  let digits = Array(Base64.encode(bytes).utf8)
  return digits + [UInt8](repeating: UInt8(ascii: "="), count: (4 - digits.count % 4) % 4)
}
