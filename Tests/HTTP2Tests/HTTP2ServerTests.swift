// The server by its frames: exchange, windows, refusals, drain.
import HTTP2
import HTTPCore
import HTTPServer
import Logging
import NIOCore
import NIOPosix
import Testing

/// Answers by path: /echo gives the body back at its end; /hold takes nothing and credits nothing; /early answers
/// before the request has ended; /big sends a megabyte.
private final class TestHandler: HTTPHandler {
  func accept(_ exchange: any HTTPExchange) -> (any HTTPExchangeDelegate)? {
    switch exchange.head.path {
    case "/early":
      exchange.respond(status: 200, fields: HTTPFields([("x", "y")]), isEnd: true)
      return nil
    case "/big":
      exchange.respond(status: 200, fields: HTTPFields(), isEnd: false)
      exchange.write { $0 += [UInt8](repeating: 7, count: 1 << 20) }
      exchange.finish(trailers: HTTPFields([("done", "yes")]))
      return nil
    default: return TestDelegate(exchange, credits: exchange.head.path == "/echo")
    }
  }

  func drain() {}
}

private final class TestDelegate: HTTPExchangeDelegate {
  private let exchange: any HTTPExchange
  private let credits: Bool

  init(_ exchange: any HTTPExchange, credits: Bool) {
    self.exchange = exchange
    self.credits = credits
  }

  func exchangeReceivedBody() { if credits { exchange.creditReceivedBytes() } }

  func exchangeReceivedEnd() {
    exchange.respond(status: 200, fields: HTTPFields([("content-type", "test")]), isEnd: false)
    let body = exchange.body.withBytes { Array(copying: $0) }
    exchange.write { $0 += body }
    exchange.finish(trailers: HTTPFields([("done", "yes")]))
  }

  func exchangeClosed() {}
  func exchangeDrained() {}
  func connectionIsDraining() {}
}

@Suite("HTTP/2 server") struct HTTP2ServerTests {
  /// A server for one test on a free port, drained at its end.
  func withServer(_ limits: HTTPServerLimits = HTTPServerLimits(),
                  _ body: (HTTPServer) async throws -> Void) async throws {
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let server = try await HTTPServer(host: "127.0.0.1", port: 0, group: .singletonMultiThreadedEventLoopGroup,
                                       limits: limits, logger: logger) { _ in TestHandler() }
    do { try await body(server) } catch { Issue.record(error) }
    await server.drain(deadline: .zero)
  }

  @Test("a request with body gets head, body and trailers") func echo() async throws {
    try await withServer { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        try await client.request(1)
        try await client.send(Frame(kind: .data, flags: Frame.endStream, stream: 1, payload: [1, 2, 3]))
        let head = try await client.next(.headers)
        #expect(head?.flags == Frame.endHeaders)
        #expect(try await client.next(.data)?.payload == [1, 2, 3])
        #expect(try await client.next(.headers)?.flags == Frame.endHeaders | Frame.endStream)
      }
    }
  }

  @Test("the limits are announced") func settings() async throws {
    try await withServer { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        let payload = try await client.next(.settings)?.payload ?? []
        let pairs = stride(from: 0, to: payload.count, by: 6).map { index in
          [Int(payload[index + 1]), payload[index + 2..<index + 6].reduce(0) { $0 << 8 | Int($1) }]
        }
        #expect(pairs == [[3, 1000], [4, 1 << 20], [6, 16 << 10], [9, 1]])
      }
    }
  }

  @Test("many requests in one write are all answered") func pipelined() async throws {
    try await withServer { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        for index in 0..<200 as Range<UInt32> { try await client.request(1 + 2 * index, isEnd: true) }
        var ended = 0
        while ended < 200, let frame = try await client.next() {
          if frame.kind == .headers, frame.flags & Frame.endStream != 0 { ended += 1 }
        }
        #expect(ended == 200)
      }
    }
  }

  @Test("a stream's window opens only by what was taken") func window() async throws {
    try await withServer { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        try await client.request(1, path: "/hold")
        try await client.request(3)
        let chunk = [UInt8](repeating: 0, count: 16_384)
        for _ in 0..<40 { try await client.send(Frame(kind: .data, stream: 1, payload: chunk)) }
        for _ in 0..<40 { try await client.send(Frame(kind: .data, stream: 3, payload: chunk)) }
        // Only the stream whose bytes were taken gets its window back.
        var updated: Set<UInt32> = []
        while !updated.contains(3), let update = try await client.next(.windowUpdate) { updated.insert(update.stream) }
        try await client.send(Frame(kind: .ping, payload: [0, 0, 0, 0, 0, 0, 0, 1]))
        while let frame = try await client.next(), frame.kind != .ping {
          if frame.kind == .windowUpdate { updated.insert(frame.stream) }
        }
        #expect(!updated.contains(1))
      }
    }
  }

  @Test("a client that sends beyond its window is cut off") func beyondWindow() async throws {
    var limits = HTTPServerLimits()
    limits.http2.streamWindowBytes = 65_535
    try await withServer(limits) { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        try await client.request(1, path: "/hold")
        let chunk = [UInt8](repeating: 0, count: 16_384)
        for _ in 0..<5 { try await client.send(Frame(kind: .data, stream: 1, payload: chunk)) }
        var frame = try await client.next()
        while let next = frame, next.kind != .reset, next.kind != .goAway { frame = try await client.next() }
        // FLOW_CONTROL_ERROR, on the stream or on the connection (RFC 9113 6.9.1).
        #expect(frame?.number(at: frame?.kind == .goAway ? 4 : 0) == 3)
      }
    }
  }

  @Test("a large answer comes whole as the client opens its windows") func large() async throws {
    try await withServer { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        try await client.request(1, path: "/big", isEnd: true)
        var received = 0
        while let frame = try await client.next() {
          if frame.kind == .headers, frame.flags & Frame.endStream != 0 { break }
          guard frame.kind == .data, !frame.payload.isEmpty else { continue }
          received += frame.payload.count
          let increment = (0..<4).map { UInt8(truncatingIfNeeded: frame.payload.count >> (24 - 8 * $0)) }
          try await client.send(Frame(kind: .windowUpdate, stream: 0, payload: increment))
          try await client.send(Frame(kind: .windowUpdate, stream: 1, payload: increment))
        }
        #expect(received == 1 << 20)
      }
    }
  }

  @Test("an answer before the end of the request is followed by NO_ERROR: the rest is not wanted")
  func early() async throws {
    try await withServer { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        try await client.request(1, path: "/early")
        let head = try await client.next(.headers)
        #expect(head?.flags == Frame.endHeaders | Frame.endStream)
        #expect(try await client.next(.reset)?.payload == [0, 0, 0, 0])
        try await client.request(3, isEnd: true)
        #expect(try await client.next(.headers, stream: 3) != nil)
      }
    }
  }

  @Test("headers over the limit are answered 431 and the connection lives") func largeHeaders() async throws {
    try await withServer { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        let fields = [("x", String(repeating: "x", count: 16_000)), ("y", String(repeating: "y", count: 300))]
        try await client.request(1, fields, isEnd: true)
        let head = try await client.next(.headers, stream: 1)
        #expect(head?.flags == Frame.endHeaders | Frame.endStream)
        #expect(head.map { String(decoding: $0.payload, as: UTF8.self).utf8.count > 0 } == true)
        try await client.request(3, isEnd: true)
        #expect(try await client.next(.headers, stream: 3) != nil)
      }
    }
  }

  @Test("a reset by the client ends its stream only") func reset() async throws {
    try await withServer { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        try await client.request(1)
        try await client.request(3)
        try await client.send(Frame(kind: .reset, stream: 1, payload: [0, 0, 0, 8]))
        try await client.send(Frame(kind: .data, flags: Frame.endStream, stream: 3, payload: [5]))
        #expect(try await client.next(.data, stream: 3)?.payload == [5])
      }
    }
  }

  @Test("thousands of cancelled streams leave the connection open") func resets() async throws {
    try await withServer { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        for stream in stride(from: UInt32(1), to: 6001, by: 2) {
          try await client.request(stream)
          try await client.send(Frame(kind: .reset, stream: stream, payload: [0, 0, 0, 8]))
        }
        try await client.request(6001)
        try await client.send(Frame(kind: .data, flags: Frame.endStream, stream: 6001, payload: [5]))
        #expect(try await client.next(.data, stream: 6001)?.payload == [5])
      }
    }
  }

  @Test("a drain is a notice, then GOAWAY with the last stream, and open streams are still served")
  func drain() async throws {
    try await withServer { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        try await client.request(1)
        // Its answer proves that the request has arrived.
        try await client.send(Frame(kind: .ping, payload: [0, 0, 0, 0, 0, 0, 0, 1]))
        _ = try await client.next(.ping)
        async let drained: Void = server.drain(deadline: .seconds(20))
        #expect(try await client.next(.goAway)?.number() == 0x7FFF_FFFF)
        // A stream opened before the notice was seen is served as well.
        try await client.request(3)
        let ping = try await client.next(.ping)
        try await client.send(Frame(kind: .ping, flags: Frame.ack, payload: ping?.payload ?? []))
        #expect(try await client.next(.goAway)?.number() == 3)
        for stream in [1, 3] as [UInt32] {
          try await client.send(Frame(kind: .data, flags: Frame.endStream, stream: stream, payload: [9]))
          #expect(try await client.next(.data, stream: stream)?.payload == [9])
        }
        while try await client.next() != nil {}
        await drained
      }
    }
  }

  @Test("at the drain's deadline what is left is cut") func drainDeadline() async throws {
    try await withServer { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        try await client.request(1)
        _ = try await client.next(.settings)
        await server.drain(deadline: .milliseconds(100))
        while try await client.next() != nil {}
      }
    }
  }
}
