// An HTTP/2 connection as a sequence of deeds: the frames are well formed, their order and contents are the fuzzer's.
import HTTPCore
import TestSupport

extension FuzzTarget {
  static let http2Frames = FuzzTarget("http2-frames", seeds: [
    "unary": [0, 0, 0, 0, 1, 0, 3, 7, 8, 9, 1],
    "stream": [0, 2, 0, 0, 2, 0, 1, 9, 0, 2, 0, 1, 9, 0, 2, 0, 1, 2, 1],
    "typed": [0, 3, 0, 0, 2, 0, 2, 0x10, 1, 1],
    "deadline": [0, 1, 1, 0, 9, 2, 0, 1, 2, 0, 9, 60],
    "never-reset": [0, 1, 0, 0, 2, 0, 1, 1, 1, 3, 0, 0, 8],
    "slow-reader": [11, 0, 2, 0, 0, 2, 0, 200, 1, 11, 4, 0, 0, 1, 0],
    "drain": [0, 2, 0, 0, 10, 0, 2, 0, 1, 5, 1],
    "watch": [9, 61, 9, 61, 9, 255],
    "settings": [6, 0, 4, 0, 0, 0, 1, 6, 0, 5, 0, 0, 0x40, 0, 0, 0, 0, 1],
    "raw": [7, 9, 4, 1, 2, 0x82, 0x84],
    // The same head three times, one that differs at its path, in its middle and at its end, and the first again.
    "heads": [13, 0, 0, 1, 13, 0, 0, 1, 13, 0, 0, 1, 13, 1, 0, 0, 13, 0, 1, 9, 0, 13, 0, 2, 9, 11, 1, 13, 0, 0, 1],
    "malformed": [13, 0, 0, 0] + (0..<14).flatMap { [13, 0, 1, 12 + $0, 1] } + [13, 0, 0, 1],
    "content-length": [13, 0, 1, 9, 0, 1, 0, 4, 0, 0, 0, 0, 1, 13, 0, 1, 9, 0, 1, 1, 3, 1, 2, 3, 1, 13, 0, 1, 9, 1],
    "trailers": [13, 2, 0, 0, 2, 0, 1, 9, 0, 14, 0, 1, 11, 0, 1, 13, 2, 0, 0, 14, 1, 1, 18, 0, 1,
                 13, 2, 0, 0, 14, 2, 0, 0, 0],
    "split-head": [15, 0, 1, 9, 2, 0, 1, 15, 0, 1, 9, 4, 0, 1, 15, 0, 1, 11, 200, 3, 1],
    // Found by reading: such trailers got into the next head, which was refused.
    "trailers-of-ended-stream": [13, 2, 0, 0, 12, 0, 6, 0, 0, 0, 0, 1, 2, 14, 0, 1, 11, 1, 1, 13, 0, 1, 9, 1],
  ]) { bytes throws(FuzzFinding) in
    var client = try FrameFuzzClient(bytes)
    try client.run()
  }
}

/// Does what the bytes say, one deed after the other.
private struct FrameFuzzClient {
  /// Deeds of one run: longer ones find nothing that this many don't, and are slow.
  private static let maximumDeeds = 400

  private var input: FuzzInput
  private let connection: FuzzConnection
  private var nextStream: UInt32 = 1
  private var isWritable = true
  /// Frames that leave together with those that follow.
  private var held: [UInt8] = []
  private var table = HPACKTable()
  /// Heads that may be accepted, in the order in which they were sent.
  private var heads: [HTTPFields] = []
  /// Header blocks of the fuzzer's own have been sent: what heads come of them is not known here.
  private var hasUnknownHeads = false

  init(_ bytes: [UInt8]) throws(FuzzFinding) {
    input = FuzzInput(bytes)
    connection = try FuzzConnection()
    try connection.receive(FuzzConnection.preface + FuzzConnection.settings)
  }

  mutating func run() throws(FuzzFinding) {
    for _ in 0..<Self.maximumDeeds where !input.isAtEnd && connection.isActive {
      try act()
      try checkHeads()
    }
    try connection.receive(held)
    try connection.end()
  }

  private mutating func act() throws(FuzzFinding) {
    switch input.byte() % 16 {
    case 0: try openStream()
    case 1:
      let stream = stream()
      try send(HTTP2Frame.data(stream, input.block(), isEnd: input.isSet()))
    case 2:
      let stream = stream()
      try send(HTTP2Frame.data(stream, frame(input.block()), isEnd: input.isSet()))
    case 3: try send(HTTP2Frame.bytes(3, 0, stream(), [0, 0, 0, input.byte()]))
    case 4: try send(HTTP2Frame.bytes(8, 0, input.isSet() ? stream() : 0, input.take(4)))
    case 5: try send(HTTP2Frame.bytes(6, input.byte() & 1, 0, [input.byte()] + [UInt8](repeating: 0, count: 7)))
    case 6: try send(HTTP2Frame.bytes(4, 0, 0, [0, input.byte() % 9] + input.take(4)))
    case 7:
      hasUnknownHeads = true
      try send(HTTP2Frame.bytes(input.byte(), input.byte(), UInt32(input.byte()), input.block()))
    case 8: try sendSplitRequest()
    case 9: try connection.pass(seconds: Int64(input.byte()))
    case 10: try connection.drain()
    case 11:
      isWritable.toggle()
      try connection.setWritable(isWritable)
    case 13: try openRepeated()
    case 14: try sendTrailers()
    case 15: try openSplit()
    default: held += HTTP2Frame.data(stream(), input.block(), isEnd: false)
    }
  }

  private static let furtherFields: [(String, String)] = [
    ("grpc-timeout", "1S"), ("grpc-timeout", "99999999H"), ("grpc-timeout", "0n"), ("grpc-timeout", "x"),
    ("grpc-encoding", "gzip"), ("grpc-encoding", "br"), ("grpc-accept-encoding", "deflate,gzip"), ("x-bin", "AQID,AQ"),
    ("x-bin", "*"), ("content-length", "3"), ("long", String(repeating: "x", count: 1000)), ("cookie", "a=b"),
  ]

  /// Each makes a head malformed, and trailers too (RFC 9113 8.2 and 8.3).
  private static let malformedFields: [(String, String)] = [
    ("connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "h2c"), ("te", "gzip"), ("Upper", "1"),
    (":path", "/e.E/Unary"), (":unknown", "1"), ("content-length", "-1"), ("content-length", ""), ("space", " 1"),
    ("line", "1\n2"), ("", "1"), ("na me", "1"), ("proxy-connection", "close"),
  ]

  /// Up to four fields; not whole when one of them is malformed.
  private mutating func pickFields() -> (fields: [(String, String)], areWellFormed: Bool) {
    let all = Self.furtherFields + Self.malformedFields
    let picked = (0..<input.byte() % 5).map { _ in Int(input.byte()) % all.count }
    return (picked.map { all[$0] }, picked.allSatisfy { $0 < Self.furtherFields.count })
  }

  /// What is accepted was sent so, field by field, and nothing malformed is among it.
  private mutating func checkHeads() throws(FuzzFinding) {
    for head in connection.takeHeads() where !hasUnknownHeads {
      guard let index = heads.firstIndex(of: head) else {
        throw FuzzFinding("a head was accepted that was not sent so, or not since the one before:\n\(head)")
      }
      heads.removeFirst(index + 1)
    }
  }

  /// As clients send most of their heads: what the connection has had before comes as indices.
  private mutating func openRepeated() throws(FuzzFinding) {
    let path = Int(input.byte())
    let (fields, areWellFormed) = pickFields()
    let head = HTTP2Frame.head(path: path, fields: fields)
    if areWellFormed { heads.append(HTTPFields(head)) }
    try send(HTTP2Frame.headers(nextStream, table.block(head), isEnd: input.isSet()))
    nextStream += 2
  }

  /// In two frames and two reads; time passes between them.
  private mutating func openSplit() throws(FuzzFinding) {
    let path = Int(input.byte())
    let (fields, areWellFormed) = pickFields()
    let head = HTTP2Frame.head(path: path, fields: fields)
    if areWellFormed { heads.append(HTTPFields(head)) }
    let firstCount = min(Int(input.byte()), head.count)
    let seconds = Int64(input.byte())
    let first = table.block(Array(head.prefix(firstCount)))
    try send(HTTP2Frame.headers(nextStream, first, isEnd: input.isSet(), isWhole: false))
    try connection.pass(seconds: seconds)
    try send(HTTP2Frame.continuation(nextStream, table.block(Array(head.dropFirst(firstCount)))))
    nextStream += 2
  }

  /// Whole, or the last part in a read of its own; an end that is missing is malformed too.
  private mutating func sendTrailers() throws(FuzzFinding) {
    let stream = stream()
    let block = table.block(pickFields().fields)
    let (isSplit, isEnd) = (input.isSet(), input.isSet())
    try send(HTTP2Frame.headers(stream, block, isEnd: isEnd, isWhole: !isSplit))
    if isSplit { try send(HTTP2Frame.continuation(stream, table.block([("last", "1")]))) }
  }

  /// A stream with one of the methods, up to four further fields, and maybe its end.
  private mutating func openStream() throws(FuzzFinding) {
    let path = Int(input.byte())
    let count = Int(input.byte() % 5)
    let fields = (0..<count).map { _ in input.pick(Self.furtherFields) }
    heads.append(HTTPFields(HTTP2Frame.head(path: path, fields: fields)))
    try send(HTTP2Frame.request(nextStream, path: path, fields: fields, isEnd: input.isSet()))
    nextStream += 2
  }

  /// A header block of the fuzzer's, in two frames, maybe with another between.
  private mutating func sendSplitRequest() throws(FuzzFinding) {
    hasUnknownHeads = true
    let (first, second) = (input.block(), input.block())
    held += HTTP2Frame.bytes(1, 0, nextStream, first)
    if input.byte() == 0 { held += HTTP2Frame.bytes(6, 0, 0, [UInt8](repeating: 0, count: 8)) }
    try send(HTTP2Frame.bytes(9, 4, nextStream, second))
    nextStream += 2
  }

  /// One that was opened, more often than not.
  private mutating func stream() -> UInt32 { UInt32(input.byte() % 10) * 2 + 1 }

  private mutating func send(_ bytes: [UInt8]) throws(FuzzFinding) {
    try connection.receive(held + bytes)
    held = []
  }
}
