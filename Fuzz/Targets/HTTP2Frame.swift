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

  /// A gRPC request, with one of the methods and further fields.
  static func request(_ stream: UInt32, path: Int, fields: [(String, String)] = [], isEnd: Bool) -> [UInt8] {
    let all = [
      (":method", "POST"), (":scheme", "http"), (":path", EchoMethods.paths[path % EchoMethods.paths.count]),
      (":authority", "a"), ("content-type", "application/grpc"), ("te", "trailers"),
    ] + fields
    return bytes(1, isEnd ? 5 : 4, stream, block(all))
  }

  /// RFC 7541 6.2.2: each field a literal without indexing, nothing compressed.
  static func block(_ fields: [(String, String)]) -> [UInt8] {
    fields.flatMap { name, value in [0] + text(Array(name.utf8)) + text(Array(value.utf8)) }
  }

  /// RFC 7541 5.1 and 5.2.
  private static func text(_ bytes: [UInt8]) -> [UInt8] {
    guard bytes.count >= 127 else { return [UInt8(bytes.count)] + bytes }
    var length: [UInt8] = [127]
    var rest = bytes.count - 127
    while rest >= 128 {
      length.append(UInt8(rest & 127) | 128)
      rest >>= 7
    }
    return length + [UInt8(rest)] + bytes
  }
}
