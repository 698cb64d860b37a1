// Each limit of a connection, tripped over the wire. Times are short; no test hangs on how short.
import HTTP2
import HTTPServer
import NIOCore
import Testing

@Suite("HTTP/2 limits") struct HTTP2LimitTests {
  static let ping = Frame(kind: .ping, payload: [9, 0, 0, 0, 0, 0, 0, 9])

  func withServer(_ change: (inout HTTPServerLimits) -> Void = { _ in },
                  _ body: (HTTPServer) async throws -> Void) async throws {
    var limits = HTTPServerLimits()
    limits.watchInterval = .milliseconds(10)
    change(&limits)
    try await HTTP2ServerTests().withServer(limits, body)
  }

  /// Returns when the server has closed the connection, be it before the client had done its part.
  func untilCut(_ server: HTTPServer, _ body: (FrameClient) async throws -> Void) async throws {
    do {
      try await FrameClient.with(server.address) { client in
        try await body(client)
        while try await client.next() != nil {}
      }
    } catch where error is ChannelError || error is IOError {
      // Closed while the client was writing.
      return
    }
  }

  /// The reason within a GOAWAY, after its last stream and its code.
  func reason(_ frame: Frame?) -> String { String(decoding: frame?.payload.dropFirst(8) ?? [], as: UTF8.self) }

  @Test("too many pings are answered by GOAWAY ENHANCE_YOUR_CALM and the end") func pings() async throws {
    try await withServer { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        for _ in 0..<4 { try await client.send(Self.ping) }
        let goAway = try await client.next(.goAway)
        #expect(goAway?.number(at: 4) == 11)
        #expect(reason(goAway) == "too_many_pings")
        while try await client.next() != nil {}
      }
    }
  }

  @Test("pings beside calls are welcome") func pingsBesideCalls() async throws {
    try await withServer { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        for index in 0..<20 as Range<UInt32> {
          try await client.request(1 + 2 * index, isEnd: true)
          try await client.send(Self.ping)
          #expect(try await client.next(.ping)?.flags == Frame.ack)
        }
      }
    }
  }

  @Test("a client that does not answer a ping is cut, whatever it has") func keepalive() async throws {
    try await withServer {
      $0.http2.keepaliveInterval = .milliseconds(50)
      $0.http2.keepaliveTimeout = .milliseconds(50)
    } _: { server in
      try await untilCut(server) { client in
        try await client.greet()
        try await client.request(1)
      }
    }
  }

  @Test("a client that answers pings stays") func answered() async throws {
    try await withServer { $0.http2.keepaliveInterval = .milliseconds(20) } _: { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        try await client.request(1)
        for _ in 0..<3 {
          let ping = try await client.next(.ping)
          try await client.send(Frame(kind: .ping, flags: Frame.ack, payload: ping?.payload ?? []))
        }
        try await client.send(Frame(kind: .data, flags: Frame.endStream, stream: 1, payload: [7]))
        #expect(try await client.next(.data)?.payload == [7])
      }
    }
  }

  @Test("a client that does not greet is cut") func handshake() async throws {
    try await withServer { $0.http2.handshakeTimeout = .milliseconds(50) } _: { server in
      try await untilCut(server) { try await $0.send(FrameClient.preface) }
    }
  }

  @Test("an old connection is asked to go in two steps, and serves what it has") func age() async throws {
    try await withServer { $0.http2.maximumConnectionAge = .milliseconds(50) } _: { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        try await client.request(1)
        #expect(try await client.next(.goAway)?.number() == 0x7FFF_FFFF)
        let ping = try await client.next(.ping)
        try await client.send(Frame(kind: .ping, flags: Frame.ack, payload: ping?.payload ?? []))
        #expect(try await client.next(.goAway)?.number() == 1)
        try await client.send(Frame(kind: .data, flags: Frame.endStream, stream: 1, payload: [7]))
        #expect(try await client.next(.data)?.payload == [7])
        while try await client.next() != nil {}
      }
    }
  }

  @Test("after the grace an old connection is cut, whatever it has") func grace() async throws {
    try await withServer {
      $0.http2.maximumConnectionAge = .milliseconds(30)
      $0.http2.drainGrace = .milliseconds(30)
    } _: { server in
      try await untilCut(server) { client in
        try await client.greet()
        try await client.request(1)
      }
    }
  }

  @Test("a connection without streams is asked to go") func idle() async throws {
    try await withServer { $0.http2.idleTimeout = .milliseconds(50) } _: { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        #expect(try await client.next(.goAway)?.number() == 0x7FFF_FFFF)
        let ping = try await client.next(.ping)
        try await client.send(Frame(kind: .ping, flags: Frame.ack, payload: ping?.payload ?? []))
        while try await client.next() != nil {}
      }
    }
  }

  @Test("a call too many is REFUSED_STREAM; when one has ended there is room again") func running() async throws {
    try await withServer { $0.http2.maximumRunningExchanges = 2 } _: { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        for stream in [1, 3, 5] as [UInt32] { try await client.request(stream) }
        let reset = try await client.next(.reset)
        #expect(reset?.stream == 5)
        #expect(reset?.payload == [0, 0, 0, 7])
        try await client.send(Frame(kind: .data, flags: Frame.endStream, stream: 3, payload: [3]))
        #expect(try await client.next(.data)?.stream == 3)
        // A call that its client resets makes room as well.
        try await client.send(Frame(kind: .reset, stream: 1, payload: [0, 0, 0, 8]))
        for stream in [7, 9] as [UInt32] {
          try await client.request(stream, isEnd: true)
          #expect(try await client.next(.headers, stream: stream)?.flags == Frame.endHeaders)
        }
      }
    }
  }

  @Test("a connection too many gets an answer to its call, then GOAWAY and the end") func refusedCall() async throws {
    try await withServer { $0.maximumConnections = 1 } _: { server in
      try await FrameClient.with(server.address) { first in
        try await first.greet()
        #expect(try await first.next(.settings) != nil)
        try await FrameClient.with(server.address) { second in
          try await second.greet()
          try await second.request(1, isEnd: true)
          let answer = try await second.next(.headers, stream: 1)
          #expect(answer?.flags == Frame.endHeaders | Frame.endStream)
          let goAway = try await second.next(.goAway)
          #expect(goAway?.number() == 1, "the call counts as processed")
          #expect(reason(goAway) == "too_many_connections")
          while try await second.next() != nil {}
        }
        try await first.request(1, isEnd: true)
        #expect(try await first.next(.headers, stream: 1) != nil)
      }
    }
  }

  @Test("of the connections too many some wait for their first call, the rest is turned away at once")
  func turnedAway() async throws {
    try await withServer {
      $0.maximumConnections = 1
      $0.maximumRefusedConnections = 0
      $0.http2.refusalGrace = .seconds(3600)
    } _: { server in
      try await FrameClient.with(server.address) { first in
        try await first.greet()
        #expect(try await first.next(.settings) != nil)
        try await FrameClient.with(server.address) { second in
          // Until it has said that it speaks HTTP/2 it can't be told in HTTP/2.
          try await second.greet()
          #expect(reason(try await second.next(.goAway)) == "too_many_connections")
          while try await second.next() != nil {}
        }
      }
    }
  }

  @Test("a connection too many is told so; when one has gone there is room again") func connections() async throws {
    try await withServer {
      $0.maximumConnections = 1
      $0.http2.refusalGrace = .milliseconds(50)
    } _: { server in
      try await FrameClient.with(server.address) { first in
        try await first.greet()
        #expect(try await first.next(.settings) != nil)
        try await FrameClient.with(server.address) { second in
          try await second.greet()
          let goAway = try await second.next(.goAway)
          #expect(goAway?.number(at: 4) == 11)
          #expect(reason(goAway) == "too_many_connections")
        }
      }
      // The server learns of the end of the first in its own time.
      var isServed = false
      while !isServed {
        try await FrameClient.with(server.address) { client in
          try await client.greet()
          try await client.request(1, isEnd: true)
          // A refusal is head and end in one.
          isServed = try await client.next(.headers, stream: 1)?.flags == Frame.endHeaders
        }
      }
    }
  }

  /// POST http / with authority "t": fields of the static table (RFC 7541, appendix A).
  static let fields: [UInt8] = [0x83, 0x86, 0x84, 1, 1, 0x74]

  @Test("a flood of HEADERS and RST_STREAM ends the connection, and others are served") func resets() async throws {
    try await withServer { server in
      try await untilCut(server) { client in
        try await client.greet()
        var flood: [UInt8] = []
        for stream in stride(from: UInt32(1), to: 100_000, by: 2) {
          flood += Frame(kind: .headers, flags: Frame.endHeaders, stream: stream, payload: Self.fields).bytes
          flood += Frame(kind: .reset, stream: stream, payload: [0, 0, 0, 8]).bytes
        }
        try await client.send(flood)
      }
      try await isServed(server)
    }
  }

  @Test("a flood of CONTINUATION ends the connection, and others are served") func continuations() async throws {
    try await withServer { server in
      try await untilCut(server) { client in
        try await client.greet()
        var flood = Frame(kind: .headers, stream: 1, payload: Self.fields).bytes
        for _ in 0..<10_000 { flood += Frame(kind: .continuation, stream: 1, payload: [0, 1, 0x78, 0]).bytes }
        try await client.send(flood)
      }
      try await isServed(server)
    }
  }

  func isServed(_ server: HTTPServer) async throws {
    try await FrameClient.with(server.address) { client in
      try await client.greet()
      try await client.request(1, isEnd: true)
      #expect(try await client.next(.headers, stream: 1) != nil)
    }
  }
}
