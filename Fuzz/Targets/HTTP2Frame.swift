// Frames of HTTP/2 as a client writes them, with header blocks that need no table.

enum HTTP2Frame {
  /// RFC 9113 4.1.
  static func bytes(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
    let count = payload.count
    let length = [UInt8(truncatingIfNeeded: count >> 16), UInt8(truncatingIfNeeded: count >> 8),
                  UInt8(truncatingIfNeeded: count)]
    return length + [type, flags] + (0..<4).map { UInt8(truncatingIfNeeded: stream >> (24 - 8 * $0)) } + payload
  }

  static func data(_ stream: UInt32, _ payload: [UInt8], isEnd: Bool = true) -> [UInt8] {
    bytes(0, isEnd ? 1 : 0, stream, payload)
  }

  /// HEADERS with a whole block, or the first part of one that CONTINUATION ends.
  static func headers(_ stream: UInt32, _ block: [UInt8], isEnd: Bool, isWhole: Bool = true) -> [UInt8] {
    bytes(1, (isEnd ? 1 : 0) | (isWhole ? 4 : 0), stream, block)
  }

  /// The rest of a block.
  static func continuation(_ stream: UInt32, _ block: [UInt8]) -> [UInt8] { bytes(9, 4, stream, block) }

  /// A gRPC request, with one of the methods and further fields.
  static func request(_ stream: UInt32, path: Int, fields: [(String, String)] = [], isEnd: Bool) -> [UInt8] {
    headers(stream, block(head(path: path, fields: fields)), isEnd: isEnd)
  }

  static func head(path: Int, fields: [(String, String)] = []) -> [(String, String)] {
    [
      (":method", "POST"), (":scheme", "http"), (":path", EchoMethods.paths[path % EchoMethods.paths.count]),
      (":authority", "a"), ("content-type", "application/grpc"), ("te", "trailers"),
    ] + fields
  }

  /// RFC 7541 6.2.2: each field a literal without indexing, nothing compressed.
  static func block(_ fields: [(String, String)]) -> [UInt8] {
    fields.flatMap { name, value in [0] + text(name) + text(value) }
  }

  /// RFC 7541 5.2, without Huffman's code.
  static func text(_ text: String) -> [UInt8] { integer(text.utf8.count, flag: 0) + Array(text.utf8) }

  /// RFC 7541 5.1, with a prefix of seven bits behind a flag.
  static func integer(_ value: Int, flag: UInt8) -> [UInt8] {
    guard value >= 127 else { return [flag | UInt8(value)] }
    var bytes: [UInt8] = [flag | 127]
    var rest = value - 127
    while rest >= 128 {
      bytes.append(UInt8(rest & 127) | 128)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }
}
