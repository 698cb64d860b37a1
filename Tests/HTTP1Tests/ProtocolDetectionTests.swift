// One port for both versions: the first bytes decide, and all of them reach who was chosen.
import HTTPServer
import NIOCore
import Testing

@Suite("Protocol detection", .timeLimit(.minutes(2))) struct ProtocolDetectionTests {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
  /// Empty SETTINGS, then GET http / with authority "h": fields of the static table (RFC 7541, appendix A).
  static let frames: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]
    + [0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 1, 0x68]

  /// Whether the answer begins as HTTP/2 does: with a SETTINGS frame.
  func isHTTP2(_ client: RawClient) async throws -> Bool {
    let head = try await client.bytes(9)
    return head[3] == 4 && head[4] == 0
  }

  @Test("HTTP/2 is known by its preface, in pieces of any size", arguments: [1, 3, 23, 24, 25, 1000])
  func http2(size: Int) async throws {
    try await withServer { server, observed in
      try await RawClient.with(server.address) { client in
        let bytes = Self.preface + Self.frames
        for start in stride(from: 0, to: bytes.count, by: size) {
          try await client.send(Array(bytes[start..<min(start + size, bytes.count)]))
        }
        #expect(try await isHTTP2(client))
        try await observed.until { $0.accepted == ["/"] }
      }
    }
  }

  @Test("everything else is HTTP/1.1, and nothing of it is lost", arguments: [1, 2, 7, 1000])
  func http1(size: Int) async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        // Begins as the preface does.
        let bytes = Array("PROPFIND /p HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc".utf8)
        for start in stride(from: 0, to: bytes.count, by: size) {
          try await client.send(Array(bytes[start..<min(start + size, bytes.count)]))
        }
        let response = try await client.response()
        #expect(response.fields["seen-method"] == "PROPFIND")
        #expect(response.body == "abc")
      }
    }
  }

  @Test("what is neither is told so in HTTP/1.1 and closed", arguments: [
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r!", "PRI * HTTP/9.0\r\n\r\n", "PRI * HTTP/1.1\r\n\r\n", "\r\n\r\nhello\r\n\r\n",
  ])
  func neither(text: String) async throws {
    try await withServer { server, observed in
      try await RawClient.with(server.address) { client in
        try await client.send(text)
        #expect(try await client.response().status >= 400)
        #expect(try await client.rest() == "")
      }
      #expect(observed.value.accepted == [])
    }
  }

  @Test("who says nothing, or half a preface, is cut", arguments: ["", "PRI * HT"])
  func silent(text: String) async throws {
    try await withServer { $0.detectionTimeout = .milliseconds(50) } _: { server, _ in
      try await RawClient.with(server.address) { client in
        try await RawClient.offer(Array(text.utf8), to: client.outbound)
        #expect(try await client.rest() == "")
      }
    }
  }

  @Test("a drain does not wait for who has said nothing") func drain() async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        try await client.send("P")
        while await server.openConnections() == 0 { try await Task.sleep(for: .milliseconds(2)) }
        let start = ContinuousClock.now
        await server.drain(deadline: .seconds(60))
        #expect(ContinuousClock.now - start < .seconds(30))
        #expect(try await client.rest() == "")
      }
    }
  }
}
