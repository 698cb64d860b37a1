// An HTTP/2 connection as a sequence of deeds: the frames are well formed, their order and contents are the fuzzer's.
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

  init(_ bytes: [UInt8]) throws(FuzzFinding) {
    input = FuzzInput(bytes)
    connection = try FuzzConnection()
    try connection.receive(FuzzConnection.preface + FuzzConnection.settings)
  }

  mutating func run() throws(FuzzFinding) {
    for _ in 0..<Self.maximumDeeds where !input.isAtEnd && connection.isActive { try act() }
    try connection.receive(held)
    try connection.end()
  }

  private mutating func act() throws(FuzzFinding) {
    switch input.byte() % 13 {
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
    case 7: try send(HTTP2Frame.bytes(input.byte(), input.byte(), UInt32(input.byte()), input.block()))
    case 8: try sendSplitRequest()
    case 9: try connection.pass(seconds: Int64(input.byte()))
    case 10: try connection.drain()
    case 11:
      isWritable.toggle()
      try connection.setWritable(isWritable)
    default: held += HTTP2Frame.data(stream(), input.block(), isEnd: false)
    }
  }

  private static let furtherFields: [(String, String)] = [
    ("grpc-timeout", "1S"), ("grpc-timeout", "99999999H"), ("grpc-timeout", "0n"), ("grpc-timeout", "x"),
    ("grpc-encoding", "gzip"), ("grpc-encoding", "br"), ("grpc-accept-encoding", "deflate,gzip"), ("x-bin", "AQID,AQ"),
    ("x-bin", "*"), ("content-length", "3"), ("long", String(repeating: "x", count: 1000)), ("cookie", "a=b"),
  ]

  /// A stream with one of the methods, up to four further fields, and maybe its end.
  private mutating func openStream() throws(FuzzFinding) {
    let path = Int(input.byte())
    let count = Int(input.byte() % 5)
    let fields = (0..<count).map { _ in input.pick(Self.furtherFields) }
    try send(HTTP2Frame.request(nextStream, path: path, fields: fields, isEnd: input.isSet()))
    nextStream += 2
  }

  /// A header block of the fuzzer's, in two frames, maybe with another between.
  private mutating func sendSplitRequest() throws(FuzzFinding) {
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
