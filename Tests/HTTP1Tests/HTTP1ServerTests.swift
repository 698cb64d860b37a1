// HTTP/1.1 by its bytes: framing of requests and answers, connections that live and end, clients that go.
import HTTPServer
import NIOCore
import Testing

@Suite("HTTP/1.1 server", .timeLimit(.minutes(2))) struct HTTP1ServerTests {
  @Test("a request in the form that all versions share") func head() async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        try await client.send("""
          POST /a?b=c HTTP/1.1\r\nHOST: h:1\r\nConnection: keep-alive\r\nX-Case: \tv \t\r\ncontent-length: 0\r\n\r\n
          """)
        let response = try await client.response()
        #expect(response.status == 200)
        #expect(response.fields["seen-method"] == "POST")
        #expect(response.fields["seen-path"] == "/a?b=c")
        #expect(response.fields["seen-authority"] == "h:1")
        #expect(response.fields["seen-fields"] == "x-case,content-length")
      }
    }
  }

  @Test("a body with length, and one in chunks, comes back", arguments: [
    "content-length: 6\r\n\r\nabcdef",
    "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=\"y\"\r\nd\r\n2\r\nef\r\n0\r\n\r\n",
    "Transfer-Encoding: Chunked\r\n\r\n6\r\nabcdef\r\n0\r\ntrailer: dropped\r\n\r\n",
  ])
  func bodies(rest: String) async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        let request = "POST /echo HTTP/1.1\r\nhost: h\r\n" + rest
        try await client.send(request)
        let whole = try await client.response()
        #expect(whole.body == "abcdef")
        #expect(whole.fields["content-length"] == "6")
        // Again on the same connection, byte by byte.
        for byte in request.utf8 { try await client.send([byte]) }
        #expect(try await client.response() == whole)
      }
    }
  }

  @Test("an answer that comes in pieces is chunked; its trailers go to who asked for them", arguments: [true, false])
  func chunked(takesTrailers: Bool) async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        try await client.send("GET /stream HTTP/1.1\r\nhost: h\r\n\(takesTrailers ? "te: trailers\r\n" : "")\r\n")
        let response = try await client.response()
        #expect(response.isChunked)
        #expect(response.body == "<1><2><3>")
        #expect(response.trailers == (takesTrailers ? ["done": "yes"] : [:]))
        try await client.send("GET /text HTTP/1.1\r\nhost: h\r\n\r\n")
        #expect(try await client.response().body == "no such thing\n")
      }
    }
  }

  @Test("a promised length is kept, or the connection is cut") func lengths() async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        try await client.send("GET /exact HTTP/1.1\r\nhost: h\r\n\r\nGET /short HTTP/1.1\r\nhost: h\r\n\r\n")
        #expect(try await client.response().body == "<1><2><3>")
        await #expect(throws: MalformedResponse.self) { try await client.response() }
      }
    }
  }

  @Test("a large answer comes whole") func large() async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        try await client.send("GET /big HTTP/1.1\r\nhost: h\r\n\r\nGET /text HTTP/1.1\r\nhost: h\r\n\r\n")
        #expect(try await client.response().body.utf8.count == 1 << 20)
        #expect(try await client.response().status == 404)
      }
    }
  }

  @Test("HEAD gets the head alone") func headOnly() async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        for _ in 0..<2 {
          try await client.send("HEAD /text HTTP/1.1\r\nhost: h\r\n\r\nHEAD /big HTTP/1.1\r\nhost: h\r\n\r\n")
          let text = try await client.response(isHead: true)
          #expect(text.status == 404)
          #expect(text.fields["content-length"] == "14")
          #expect(try await client.response(isHead: true).status == 200)
        }
      }
    }
  }

  @Test("targets: a path, an address, and * of OPTIONS", arguments: [
    ("OPTIONS", "*", "*", "h"), ("GET", "http://other:81/p?q", "/p?q", "other:81"), ("GET", "HTTPS://o", "/", "o"),
    ("OPTIONS", "http://o", "*", "o"), ("GET", "http://o?q", "/?q", "o"), ("PATCH", "//p", "//p", "h"),
  ])
  func targets(method: String, target: String, path: String, authority: String) async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        try await client.send("\(method) \(target) HTTP/1.1\r\nhost: h\r\n\r\n")
        let response = try await client.response()
        #expect(response.fields["seen-method"] == method)
        #expect(response.fields["seen-path"] == path)
        #expect(response.fields["seen-authority"] == authority)
      }
    }
  }

  @Test("pipelined requests are answered in order, however long the first takes") func pipelined() async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        var requests = "GET /slow HTTP/1.1\r\nhost: h\r\n\r\n"
        for index in 0..<5000 { requests += "POST /\(index) HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nab" }
        let outbound = client.outbound, bytes = ByteBuffer(string: requests)
        async let sent: Void = outbound.write(bytes)
        #expect(try await client.response().fields["seen-path"] == "/slow")
        for index in 0..<5000 { #expect(try await client.response().fields["seen-path"] == "/\(index)") }
        try await sent
      }
    }
  }

  @Test("connections live and end as both sides say", arguments: [
    ("HTTP/1.1\r\nhost: h", "keep-alive by default", nil), ("HTTP/1.1\r\nhost: h\r\nconnection: close", "", "close"),
    ("HTTP/1.0", "", "close"), ("HTTP/1.0\r\nconnection: Keep-Alive", "again", "keep-alive"),
    ("HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__", "", "close"),
  ] as [(String, String, String?)])
  func persistence(head: String, again: String, connection: String?) async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        try await client.send("GET /text \(head)\r\n\r\n")
        let response = try await client.response()
        #expect(response.status == 404)
        #expect(response.fields["connection"] == connection)
        guard !again.isEmpty else { return #expect(try await client.rest() == "") }
        try await client.send("GET /text \(head)\r\n\r\n")
        #expect(try await client.response() == response)
      }
    }
  }

  @Test("HTTP/1.0 knows no chunks: the end of the connection ends the answer") func untilClose() async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        try await client.send("GET /stream HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        let response = try await client.response()
        #expect(response.fields["connection"] == "close")
        #expect(response.body == "<1><2><3>")
      }
    }
  }

  @Test("100 comes before the body when the client waits for it, and not when it is refused")
  func expectation() async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        try await client.send("POST /echo HTTP/1.1\r\nhost: h\r\nexpect: 100-Continue\r\ncontent-length: 3\r\n\r\n")
        #expect(try await client.response().status == 100)
        try await client.send("abc")
        #expect(try await client.response().body == "abc")
        try await client.send("POST /refused HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        let refused = try await client.response()
        #expect(refused.status == 415)
        #expect(refused.fields["connection"] == "close")
        #expect(try await client.rest() == "")
      }
    }
  }

  @Test("a short rest of a refused request is dropped, and its connection lives") func shortRest() async throws {
    try await withServer { server, observed in
      try await RawClient.with(server.address) { client in
        try await client.send("POST /refused HTTP/1.1\r\nhost: h\r\ncontent-length: 60000\r\n\r\n")
        let response = try await client.response()
        #expect(response.status == 415)
        #expect(response.fields["connection"] == nil)
        try await client.send([UInt8](repeating: 0x20, count: 60_000))
        try await client.send("POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nhi")
        #expect(try await client.response().body == "hi")
      }
      #expect(observed.value.accepted == ["/refused", "/echo"])
    }
  }

  @Test("of a long rest the client gets its answer and the end", arguments: [
    "content-length: 4000000\r\n\r\n", "transfer-encoding: chunked\r\n\r\n3d0900\r\n",
  ])
  func longRest(rest: String) async throws {
    try await withServer { server, observed in
      try await RawClient.with(server.address) { client in
        try await client.send("POST /refused HTTP/1.1\r\nhost: h\r\n" + rest)
        let outbound = client.outbound
        async let offered: Void = RawClient.offer([UInt8](repeating: 0x20, count: 4_000_000), to: outbound)
        let response = try await client.response()
        #expect(response.status == 415)
        #expect(response.fields["connection"] == "close")
        _ = try await client.rest()
        try await offered
      }
      #expect(observed.value.accepted == ["/refused"])
    }
  }

  @Test("a reset becomes 503 and the end") func reset() async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        try await client.send("GET /reset HTTP/1.1\r\nhost: h\r\n\r\n")
        #expect(try await client.response().status == 503)
        #expect(try await client.rest() == "")
      }
    }
  }

  @Test("a line end within a field of an answer begins no other field") func splitting() async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        try await client.send("GET /split HTTP/1.1\r\nhost: h\r\n\r\n")
        let response = try await client.response()
        #expect(response.fields["x"] == "a  set-cookie: b  c")
        #expect(response.fields["set-cookie"] == nil)
      }
    }
  }

  @Test("a client that goes cancels what was being answered", arguments: ["", "content-length: 5\r\n"])
  func gone(field: String) async throws {
    try await withServer { server, observed in
      try await RawClient.with(server.address) { client in
        try await client.send("POST /never HTTP/1.1\r\nhost: h\r\n\(field)\r\n")
        try await observed.until { !$0.accepted.isEmpty }
      }
      try await observed.until { $0.cancelled == 1 }
    }
  }

  @Test("a drain closes idle connections at once; what is being answered ends with Connection: close")
  func drain() async throws {
    try await withServer { server, observed in
      try await RawClient.with(server.address) { idle in
        try await idle.send("GET /text HTTP/1.1\r\nhost: h\r\n\r\n")
        _ = try await idle.response()
        try await RawClient.with(server.address) { busy in
          try await busy.send("POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nab")
          try await observed.until { $0.accepted.contains("/echo") }
          async let drained: Void = server.drain(deadline: .seconds(20))
          #expect(try await idle.rest() == "")
          try await busy.send("cd")
          let response = try await busy.response()
          #expect(response.body == "abcd")
          #expect(response.fields["connection"] == "close")
          #expect(try await busy.rest() == "")
          await drained
        }
      }
    }
  }
}
