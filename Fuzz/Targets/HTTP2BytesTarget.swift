// An HTTP/2 connection as plain bytes: the fuzzer makes frames and header blocks itself.

extension FuzzTarget {
  /// The first byte says whether we add a preface, and how many bytes come at once; the rest is the connection.
  static let http2Bytes = FuzzTarget("http2-bytes", seeds: [
    "preface": [0] + FuzzConnection.preface + FuzzConnection.settings,
    "unary": [0x80] + HTTP2Frame.request(1, path: 0, isEnd: false) + HTTP2Frame.data(1, [0, 0, 0, 0, 3, 1, 2, 3]),
    "pieces": [0x83] + HTTP2Frame.request(1, path: 2, isEnd: false)
      + HTTP2Frame.data(1, [0, 0, 0, 0, 1, 9], isEnd: false) + HTTP2Frame.data(1, []),
    "reset": [0x80] + HTTP2Frame.request(1, path: 1, isEnd: false) + HTTP2Frame.bytes(3, 0, 1, [0, 0, 0, 8]),
    "ping": [0x80] + HTTP2Frame.bytes(6, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8]),
    "window": [0x80] + HTTP2Frame.bytes(8, 0, 0, [0x7F, 0xFF, 0xFF, 0xFF]),
    "goaway": [0x80] + HTTP2Frame.bytes(7, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0]),
    "continuation": [0x80] + HTTP2Frame.bytes(1, 1, 1, [0x82]) + HTTP2Frame.bytes(9, 4, 1, [0x84, 0x86]),
    "repeated-heads": [0x80] + heads([[], [], [("x", "1")], [("x", "2")], [], [("x", "2")]]),
    "malformed": [0x80] + heads([[], [("te", "gzip")], [("Upper", "1")], [(":path", "/")], [("x", " ")], []]),
    "content-length": [0x80] + HTTP2Frame.request(1, path: 0, fields: [("content-length", "8")], isEnd: false)
      + HTTP2Frame.data(1, [0, 0, 0, 0, 3, 1, 2, 3])
      + HTTP2Frame.request(3, path: 0, fields: [("content-length", "8")], isEnd: false) + HTTP2Frame.data(3, [0]),
    "trailers": [0x80] + HTTP2Frame.request(1, path: 2, isEnd: false)
      + HTTP2Frame.headers(1, HTTP2Frame.block([("x", "1")]), isEnd: true)
      + HTTP2Frame.request(3, path: 2, isEnd: false)
      + HTTP2Frame.headers(3, HTTP2Frame.block([("x", "1")]), isEnd: true, isWhole: false)
      + HTTP2Frame.continuation(3, HTTP2Frame.block([("y", "1")])),
  ]) { bytes throws(FuzzFinding) in
    var input = FuzzInput(bytes)
    let choice = input.byte()
    let pieceBytes = choice & 0x7F == 0 ? Int.max : Int(choice & 0x7F)
    let connection = try FuzzConnection()
    if choice & 0x80 != 0 { try connection.receive(FuzzConnection.preface + FuzzConnection.settings) }
    while !input.isAtEnd, connection.isActive { try connection.receive(input.take(pieceBytes)) }
    try connection.end()
  }

  /// A unary request after the other, written as an encoder with a table does.
  private static func heads(_ further: [[(String, String)]]) -> [UInt8] {
    var table = HPACKTable()
    return further.enumerated().flatMap { index, fields in
      HTTP2Frame.headers(UInt32(index) * 2 + 1, table.block(HTTP2Frame.head(path: 0, fields: fields)), isEnd: true)
    }
  }
}
