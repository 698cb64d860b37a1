// Requests that two servers could read in two ways: each is refused, and nothing behind it is answered.
import HTTPServer
import Testing

@Suite("Request smuggling", .timeLimit(.minutes(2))) struct RequestSmugglingTests {
  /// What would be a request of its own if the first ended where a laxer reader says.
  static let smuggled = "GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n"

  @Test("is refused, the connection closes, and no handler sees it", arguments: [
    // Where the body ends.
    ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ncontent-length: 0\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5, 5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: +5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: -5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0x5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5 5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length:\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 99999999999999999999\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    ("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: \u{b}chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.0\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    // Lines and names.
    ("GET / HTTP/1.1\nhost: h\n\n", 505),
    ("GET / HTTP/1.1\r\nhost: h\nx: y\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: h\r\nx: y\r\n z\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost : h\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\n host: h\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: h\r\nx y: z\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: h\r\n: z\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: h\r\n:path: /other\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: h\r\nx: a\0b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: h\r\nx: a\rb\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: h\r\nx\0: a\r\n\r\n", 400),
    ("GET /\0 HTTP/1.1\r\nhost: h\r\n\r\n", 400),
    ("GET /a b HTTP/1.1\r\nhost: h\r\n\r\n", 400),
    // Whose request it is.
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: h\r\nhost: h\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: h, i\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: user@h\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: h/path\r\n\r\n", 400),
    ("GET http:///p HTTP/1.1\r\nhost: h\r\n\r\n", 400),
    ("GET http://a@b/p HTTP/1.1\r\nhost: h\r\n\r\n", 400),
    ("GET ftp://h/p HTTP/1.1\r\nhost: h\r\n\r\n", 400),
    ("GET p HTTP/1.1\r\nhost: h\r\n\r\n", 400),
    ("GET * HTTP/1.1\r\nhost: h\r\n\r\n", 400),
    ("GET /p#f HTTP/1.1\r\nhost: h\r\n\r\n", 400),
    ("CONNECT h:443 HTTP/1.1\r\nhost: h\r\n\r\n", 501),
    // Versions and methods.
    ("GET /\r\n\r\n", 505),
    ("GET / HTTP/2.0\r\nhost: h\r\n\r\n", 505),
    ("GET / HTTP/1.9\r\nhost: h\r\n\r\n", 505),
    ("GET / http/1.1\r\nhost: h\r\n\r\n", 400),
    ("NONSENSE / HTTP/1.1\r\nhost: h\r\n\r\n", 501),
    ("get / HTTP/1.1\r\nhost: h\r\n\r\n", 501),
    ("POST / HTTP/1.1\r\nhost: h\r\nexpect: 200-ok\r\ncontent-length: 1\r\n\r\nx", 417),
    ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0", 501),
  ])
  func refused(request: String, status: Int) async throws {
    try await withServer { server, observed in
      try await RawClient.with(server.address) { client in
        try await client.send(request + Self.smuggled)
        let response = try await client.response()
        #expect(response.status == status, "\(response.body)")
        #expect(response.fields["connection"] == "close")
        #expect(!response.body.isEmpty)
        #expect(try await client.rest() == "")
      }
      #expect(observed.value.accepted == [])
    }
  }

  @Test("chunks that are none end the request and the connection", arguments: [
    "x\r\nabc\r\n", "-1\r\n", "0x3\r\nabc\r\n", "3 \r\nabc\r\n", "3\nabc\r\n", "3\r\nabcd\r\n", "3\r\nabc0\r\n\r\n",
    "ffffffffffffffffff\r\n", "3\r\nabc\r\n0\r\nx y: z\r\n\r\n", "3\r\nabc\r\n0\r\n\n",
  ])
  func chunks(body: String) async throws {
    try await withServer { server, observed in
      try await RawClient.with(server.address) { client in
        let head = "POST /echo HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
        try await client.send(head + body + Self.smuggled)
        #expect(try await client.response().status == 400)
        #expect(try await client.rest() == "")
      }
      #expect(observed.value.accepted == ["/echo"])
      #expect(observed.value.cancelled == 1)
    }
  }

  @Test("what came before a malformed request is answered first") func order() async throws {
    try await withServer { server, observed in
      try await RawClient.with(server.address) { client in
        try await client.send("GET /slow HTTP/1.1\r\nhost: h\r\n\r\nGET / HTTP/1.1\r\n\r\n" + Self.smuggled)
        #expect(try await client.response().fields["seen-path"] == "/slow")
        #expect(try await client.response().status == 400)
        #expect(try await client.rest() == "")
      }
      #expect(observed.value.accepted == ["/slow"])
    }
  }
}
