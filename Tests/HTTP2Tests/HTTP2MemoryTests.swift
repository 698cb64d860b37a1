// What a connection may hold: windows that open by use and by the byte budget, and answers that are not read.
import HTTP2
import HTTPCore
import HTTPServer
import NIOCore
import Testing

@Suite("Memory of connections") struct HTTP2MemoryTests {
  @Test("a client that does not read its answers gets no new ones until it does") func unread() async throws {
    try await HTTP2LimitTests().withServer { $0.http2.maximumUnreadBytes = 3 << 20 } _: { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        // Each answer is a megabyte; of the first 65,535 bytes leave.
        for stream in [1, 3, 5, 7] as [UInt32] { try await client.request(stream, path: "/big", isEnd: true) }
        try await client.request(9, path: "/big", isEnd: true)
        let refused = try await client.next(.headers, stream: 9)
        #expect(refused?.flags == Frame.endHeaders | Frame.endStream)
        // It reads the first one whole.
        try await client.send(Frame(kind: .windowUpdate, stream: 0, payload: [0, 64, 0, 0]))
        for stream in [1, 3, 5, 7] as [UInt32] {
          try await client.send(Frame(kind: .windowUpdate, stream: stream, payload: [0, 32, 0, 0]))
        }
        var ended = 0
        while ended < 4, let frame = try await client.next() {
          if frame.kind == .headers, frame.flags & Frame.endStream != 0 { ended += 1 }
        }
        try await client.request(11, isEnd: true)
        #expect(try await client.next(.headers, stream: 11)?.flags == Frame.endHeaders)
      }
    }
  }

  @Test("a client that reads nothing is cut while memory is short, and only then") func stalledReader() async throws {
    var limits = HTTPServerLimits()
    limits.watchInterval = .milliseconds(10)
    limits.http2.stalledReaderTimeout = .milliseconds(50)
    let budget = ByteBudget(limitBytes: 64 << 20)
    try await HTTP2ServerTests().withServer(limits, budget: budget) { server in
      try await HTTP2LimitTests().untilCut(server) { client in
        try await client.greet()
        try await client.request(1, path: "/big", isEnd: true)
        #expect(try await client.next(.headers, stream: 1) != nil)
        try await Task.sleep(for: .milliseconds(200))
        try await client.send(HTTP2LimitTests.ping)
        #expect(try await client.next(.ping) != nil, "nobody needs the memory")
        budget.take(24 << 20, of: .held)
      }
      budget.release(24 << 20, of: .held)
      try await HTTP2LimitTests().isServed(server)
    }
    #expect(budget.usedBytes(.held) <= 2 * 128 << 10, "what it had is given back")
  }

  @Test("without room in the budget a connection keeps its first window") func smallWindow() async throws {
    let budget = ByteBudget(limitBytes: 64 << 20)
    budget.take(16 << 20, of: .windows)
    try await HTTP2ServerTests().withServer(budget: budget) { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        try await client.request(1, path: "/hold")
        let chunk = [UInt8](repeating: 0, count: 16_383)
        for _ in 0..<4 { try await client.send(Frame(kind: .data, stream: 1, payload: chunk)) }
        try await client.send(HTTP2LimitTests.ping)
        while let frame = try await client.next(), frame.kind != .ping { #expect(frame.kind != .windowUpdate) }
        // Beyond it: a flow control error, as anywhere.
        try await client.send(Frame(kind: .data, stream: 1, payload: chunk))
        #expect(try await client.next(.goAway)?.number(at: 4) == 3)
      }
    }
  }

  @Test("streams that are not read get a larger connection's window, up to its limit") func growth() async throws {
    let budget = ByteBudget(limitBytes: 64 << 20)
    try await HTTP2ServerTests().withServer(budget: budget) { server in
      try await FrameClient.with(server.address) { client in
        try await client.greet()
        let chunk = [UInt8](repeating: 0, count: 16_384)
        var (window, sent, stream) = (65_535, 0, UInt32(1))
        try await client.request(stream, path: "/hold")
        while window < 8 << 20 {
          while sent + chunk.count <= window {
            if sent % (1 << 20) == 0, sent > 0 {
              stream += 2
              try await client.request(stream, path: "/hold")
            }
            try await client.send(Frame(kind: .data, stream: stream, payload: chunk))
            sent += chunk.count
          }
          let update = try await client.next(.windowUpdate)
          #expect(update?.stream == 0)
          window += Int(update?.number() ?? 0)
        }
        #expect(window == 8 << 20)
        #expect(budget.usedBytes(.windows) >= (8 << 20) - 65_535)
      }
    }
    #expect(budget.usedBytes(.windows) <= 2 * 128 << 10)
  }
}
