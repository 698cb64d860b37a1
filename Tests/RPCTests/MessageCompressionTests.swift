// Compressed messages: both encodings in both directions, the limit while inflating, and what is refused.
import HTTPCore
import RPC
import Status
import TestSupport
import Testing

@Suite("Message compression") struct MessageCompressionTests {
  typealias Fixture = RPCHandlerTests.Fixture

  static let encodings = [MessageEncoding.gzip, .deflate]

  func compressed(_ message: [UInt8], _ encoding: MessageEncoding) -> [UInt8] {
    MessageCompression().compressed(message.span, encoding)
  }

  func inflated(_ message: [UInt8], _ encoding: MessageEncoding, maximumBytes: Int = 1 << 20) throws -> [UInt8] {
    try MessageCompression().inflated(message.span, encoding, maximumBytes: maximumBytes)
  }

  @Test("a message comes back as it was, of any size", arguments: encodings, [0, 1, 1000, 65_536, 300_001])
  func roundTrip(encoding: MessageEncoding, byteCount: Int) throws {
    let message = (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 7 ^ $0 >> 9) }
    #expect(try inflated(compressed(message, encoding), encoding) == message)
  }

  @Test("one state serves message after message, after malformed ones too") func reused() throws {
    let compression = MessageCompression()
    for encoding in Self.encodings + Self.encodings {
      let message = [UInt8](repeating: 5, count: 10_000)
      let bytes = compression.compressed(message.span, encoding)
      let junk: [UInt8] = [1, 2, 3]
      #expect(throws: RPCStatus.self) { try compression.inflated(junk.span, encoding, maximumBytes: 100) }
      #expect(throws: RPCStatus.self) { try compression.inflated(bytes.span, encoding, maximumBytes: 9_999) }
      let back = try compression.inflated(bytes.span, encoding, maximumBytes: 10_000)
      #expect(back == message)
    }
  }

  @Test("bytes of other senders: gzip's header and zlib's (RFC 1952 2.3, RFC 1950 2.2)") func foreign() throws {
    // "abc" by another program: ten bytes of header, the deflated bytes, CRC-32 and size.
    let gzip: [UInt8] = [
      0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 3, 0x4B, 0x4C, 0x4A, 6, 0, 0xC2, 0x41, 0x24, 0x35, 3, 0, 0, 0,
    ]
    // Two bytes of header, the deflated bytes, Adler-32.
    let zlib: [UInt8] = [0x78, 0x9C, 0x4B, 0x4C, 0x4A, 6, 0, 2, 0x4D, 1, 0x27]
    #expect(try inflated(gzip, .gzip) == Array("abc".utf8))
    #expect(try inflated(zlib, .deflate) == Array("abc".utf8))
    #expect(try inflated(gzip + gzip, .gzip) == Array("abcabc".utf8))
    #expect(throws: RPCStatus.self) { try inflated(zlib, .gzip) }
    #expect(throws: RPCStatus.self) { try inflated(gzip, .deflate) }
    #expect(throws: RPCStatus.self) { try inflated(zlib + [0], .deflate) }
  }

  @Test("an empty message that is flagged is empty") func empty() throws {
    #expect(try inflated([], .gzip) == [])
  }

  @Test("every cut of a compressed message is INTERNAL", arguments: encodings) func cut(encoding: MessageEncoding) {
    let whole = compressed(Array("a message of some bytes, of some bytes".utf8), encoding)
    for count in 1..<whole.count {
      #expect { try inflated(Array(whole[..<count]), encoding) } throws: { ($0 as? RPCStatus)?.code == .internal }
    }
  }

  @Test("a bomb is stopped at the limit, and costs little more than the limit", arguments: encodings)
  func bomb(encoding: MessageEncoding) throws {
    // 64 MiB of zeros in 64 KiB: a thousandfold, the most that deflate can do.
    let bomb = compressed([UInt8](repeating: 0, count: 64 << 20), encoding)
    #expect(bomb.count < 70_000)
    #expect { try inflated(bomb, encoding, maximumBytes: 4 << 20) } throws: { error in
      guard let status = error as? RPCStatus else { return false }
      return status.code == .resourceExhausted && status.message.contains("limit of 4194304 bytes")
    }
  }

  @Test("a compressed request is inflated for its method, single or streamed", arguments: encodings)
  func requests(encoding: MessageEncoding) {
    let fixture = Fixture()
    let message = [UInt8](repeating: 3, count: 500)
    let unary = fixture.open("/test.Echo/Unary", adding: [("grpc-encoding", encoding.name)])
    unary.receive(frame(compressed(message, encoding), flag: 1))
    unary.end()
    #expect(unary.messages == [message])
    #expect(unary.fields["grpc-encoding"] == nil)
    #expect(unary.fields["grpc-accept-encoding"] == "identity,gzip,deflate")

    let stream = fixture.open("/test.Echo/Stream", adding: [("grpc-encoding", encoding.name)])
    stream.receive(frame([1]) + frame(compressed(message, encoding), flag: 1) + frame([2]))
    #expect(fixture.recorder?.messages == [[1], message, [2]])
    #expect(fixture.recorder?.areCompressed == [false, true, false])
    #expect(stream.uncreditedCount == 0)
  }

  @Test("a flag without an encoding is INTERNAL, in a stream too") func flagWithoutEncoding() {
    let exchange = Fixture().open("/test.Echo/Stream")
    exchange.receive(frame([1], flag: 1))
    #expect(exchange.grpcStatus == "13")
    #expect(exchange.grpcMessage?.contains("no grpc-encoding") == true)
  }

  @Test("a compressed message that would be too large ends its call with RESOURCE_EXHAUSTED") func tooLarge() {
    let exchange = Fixture(maximumMessageBytes: 1000).open("/test.Echo/Unary", adding: [("grpc-encoding", "gzip")])
    exchange.receive(frame(compressed([UInt8](repeating: 0, count: 1001), .gzip), flag: 1))
    exchange.end()
    #expect(exchange.grpcStatus == "8")
    #expect(exchange.fields["grpc-retry-pushback-ms"] == nil)
  }

  @Test("a response is compressed when its method asks and the client takes it", arguments: [
    ("gzip", "gzip"), ("deflate", "deflate"), ("identity, deflate ,gzip", "gzip"), ("br,zstd", nil), ("", nil),
  ])
  func responses(accepted: String, expected: String?) throws {
    let fixture = Fixture()
    let exchange = fixture.open("/test.Echo/Stream", adding: [("grpc-accept-encoding", accepted)])
    let message = [UInt8](repeating: 9, count: 4000)
    let call = try #require(fixture.recorder?.call)
    call.compressMessages()
    call.send { $0 += message }
    call.send(isPlain: true) { $0 += message }
    call.send { $0 += [1] }
    call.finish(.ok)
    #expect(exchange.fields["grpc-encoding"] == expected)
    // What would grow is sent as it is.
    #expect(exchange.flags == [expected == nil ? 0 : 1, 0, 0])
    let first = exchange.messages[0]
    let encoding = expected.flatMap { name in MessageEncoding.allCases.first { $0.name == name } }
    #expect(try encoding.map { try inflated(first, $0) } ?? first == message)
  }

  @Test("nobody asks: nothing is compressed, whatever the client takes") func unasked() {
    let exchange = Fixture().open("/test.Echo/Unary", adding: [("grpc-accept-encoding", "gzip")])
    exchange.receive(frame([UInt8](repeating: 9, count: 4000)))
    exchange.end()
    #expect(exchange.fields["grpc-encoding"] == nil)
    #expect(exchange.flags == [0])
  }

  @Test("the setting compresses for every method") func setting() {
    let fixture = Fixture(compressesMessages: true)
    let exchange = fixture.open("/test.Echo/Unary", adding: [("grpc-accept-encoding", "gzip")])
    exchange.receive(frame([UInt8](repeating: 9, count: 4000)))
    exchange.end()
    #expect(exchange.fields["grpc-encoding"] == "gzip")
    #expect(exchange.flags == [1])
  }

  @Test("space around the names of grpc-accept-encoding is ignored, space within makes another name")
  func acceptedNames() {
    #expect(MessageEncoding.best(accepted: ["br , gzip"]) == .gzip)
    #expect(MessageEncoding.best(accepted: [" deflate "]) == .deflate)
    #expect(MessageEncoding.best(accepted: ["gz ip", "def late", " "]) == .identity)
  }
}
