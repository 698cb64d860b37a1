// Heads of requests by what arrives of them: a connection remembers the head before, and never mixes it with another.
import HTTP2
import HTTPCore
import HTTPServer
import Logging
import NIOCore
import NIOPosix
import Testing

/// Answers each request with its fields, one a line, before the request has ended.
private final class FieldsHandler: HTTPHandler {
  func accept(_ exchange: any HTTPExchange) -> (any HTTPExchangeDelegate)? {
    let fields = exchange.head.fields.description
    exchange.respond(status: 200, fields: HTTPFields(), isEnd: false)
    exchange.write { $0 += Array(fields.utf8) }
    exchange.finish(trailers: HTTPFields())
    return nil
  }

  func drain() {}
}

@Suite("HTTP/2 heads") struct HTTP2HeadTests {
  private typealias Fields = [(String, String)]

  /// What FrameClient sends with every request.
  private static func expected(_ fields: Fields, path: String) -> String {
    let all = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test")] + fields
    return all.map { "\($0): \($1)" }.joined(separator: "\n")
  }

  private func withClient(_ body: (FrameClient) async throws -> Void) async throws {
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let server = try await HTTPServer(host: "127.0.0.1", port: 0, group: .singletonMultiThreadedEventLoopGroup,
                                      logger: logger) { _ in FieldsHandler() }
    do {
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        try await body(client)
      }
    } catch { Issue.record(error) }
    await server.drain(deadline: .zero)
  }

  private func text(_ client: FrameClient, stream: UInt32) async throws -> String? {
    while let frame = try await client.next() {
      guard frame.stream == stream else { continue }
      if frame.kind == .data { return String(decoding: frame.payload, as: UTF8.self) }
      // Refused: there is nothing to wait for.
      if frame.kind == .reset { return nil }
    }
    return nil
  }

  @Test("a head is what was sent, whatever came before it") func repeated() async throws {
    let heads: [(Fields, String)] = [
      ([("a", "1"), ("b", "2"), ("c", "3")], "/one"), ([("a", "1"), ("b", "2"), ("c", "3")], "/one"),
      ([("a", "1"), ("b", "9"), ("c", "3")], "/one"), ([("a", "1"), ("b", "9")], "/one"), ([], "/one"),
      ([("a", "1"), ("b", "9"), ("c", "3"), ("d", "4")], "/one"), ([("a", "1"), ("b", "9"), ("c", "3")], "/two"),
      ([("c", "3"), ("b", "9"), ("a", "1")], "/two"), ([("c", "3"), ("b", "9"), ("a", "1")], "/two"),
    ]
    try await withClient { client in
      for (index, (fields, path)) in heads.enumerated() {
        let stream = UInt32(index) * 2 + 1
        try await client.request(stream, fields, path: path, isEnd: true)
        #expect(try await text(client, stream: stream) == Self.expected(fields, path: path))
      }
    }
  }

  @Test("a malformed or too large head between leaves nothing behind") func refused() async throws {
    try await withClient { client in
      try await client.request(1, [("a", "1")], isEnd: true)
      #expect(try await text(client, stream: 1) == Self.expected([("a", "1")], path: "/echo"))
      try await client.request(3, [("a", "1"), ("connection", "close")], isEnd: true)
      #expect(try await client.next(.reset, stream: 3)?.number() == 1)
      try await client.request(5, [("a", "1"), ("b", "2")], isEnd: true)
      #expect(try await text(client, stream: 5) == Self.expected([("a", "1"), ("b", "2")], path: "/echo"))
      let large = [("a", String(repeating: "x", count: 16_000)), ("b", String(repeating: "y", count: 300))]
      try await client.request(7, large, isEnd: true)
      #expect(try await client.next(.headers, stream: 7) != nil)
      try await client.request(9, [("a", "1"), ("b", "2"), ("c", "3")], isEnd: true)
      let all = [("a", "1"), ("b", "2"), ("c", "3")]
      #expect(try await text(client, stream: 9) == Self.expected(all, path: "/echo"))
    }
  }

  /// nghttp2 tells nothing of the end of trailers whose stream was closed after their first part.
  @Test("trailers cut short by the end of their stream do not get into the next head") func cutTrailers() async throws {
    try await withClient { client in
      let trailers = Frame(kind: .headers, flags: Frame.endStream, stream: 1,
                           payload: FrameClient.literal("stolen", "1"))
      // One write, so that both are read before the answer has closed the stream.
      try await client.send(FrameClient.requestBytes(1) + trailers.bytes)
      #expect(try await client.next(.reset, stream: 1)?.number() == 0)
      try await client.send(Frame(kind: .continuation, flags: Frame.endHeaders, stream: 1))
      for stream: UInt32 in [3, 5] {
        try await client.request(stream, [("a", "1")], isEnd: true)
        #expect(try await text(client, stream: stream) == Self.expected([("a", "1")], path: "/echo"))
      }
    }
  }
}
