// Each limit of a connection, tripped over the wire. Times are short; no test hangs on how short.
import HTTP1
import HTTPServer
import NIOCore
import Testing

@Suite("HTTP/1.1 limits", .timeLimit(.minutes(2))) struct HTTP1LimitTests {
  @Test("heads that are too large say which part is, and end the connection", arguments: [
    ("GET /\(String(repeating: "p", count: 8000)) HTTP/1.1\r\nhost: h\r\n\r\n", 414),
    ("GET / HTTP/1.1\r\nhost: h\r\nx: \(String(repeating: "v", count: 17_000))\r\n\r\n", 431),
    ("GET / HTTP/1.1\r\nhost: h\r\n\(String(repeating: "x: y\r\n", count: 500))\r\n", 431),
    ("GET / HTTP/1.1\r\nhost: h\r\n\(String(repeating: "x: y\r\n", count: 8000))\r\n", 431),
    // Far more behind what is refused than one read takes: the answer must not be overtaken by a reset.
    ("GET / HTTP/1.1\r\nhost: h\r\n\(String(repeating: "x: y\r\n", count: 400_000))\r\n", 431),
    ("GET /\u{0} HTTP/1.1\r\nhost: h\r\n\(String(repeating: "x: y\r\n", count: 400_000))\r\n", 400),
    // More than the parser keeps: refused before the head is complete.
    ("GET / HTTP/1.1\r\nhost: h\r\nx: \(String(repeating: "v", count: 40_000))", 431),
    ("GET / HTTP/1.1\r\nhost: h\r\n\(String(repeating: "n", count: 40_000))", 431),
  ])
  func heads(request: String, status: Int) async throws {
    try await withServer { server, observed in
      try await RawClient.with(server.address) { client in
        try await RawClient.offer(Array(request.utf8), to: client.outbound)
        #expect(try await client.response().status == status)
        #expect(try await client.rest() == "")
      }
      #expect(observed.value.accepted == [])
    }
  }

  @Test("a head within its limits passes") func heads() async throws {
    try await withServer { server, _ in
      try await RawClient.with(server.address) { client in
        let path = "/" + String(repeating: "p", count: 7999)
        try await client.send("""
          GET \(path) HTTP/1.1\r\nhost: h\r\nx: \(String(repeating: "v", count: 8000))\r\n\r\n
          """)
        #expect(try await client.response().fields["seen-path"] == path)
      }
    }
  }

  @Test("a body that nobody takes is not read on; taken in steps it comes whole") func backPressure() async throws {
    try await withServer { server, observed in
      try await RawClient.with(server.address) { client in
        try await client.send("POST /lazy HTTP/1.1\r\nhost: h\r\ncontent-length: 4000000\r\n\r\n")
        try await client.send([UInt8](repeating: 0x61, count: 4_000_000))
        #expect(try await client.response().body == "4000000")
      }
      let limits = HTTP1Limits()
      // What may wait, and the read that crosses that line.
      #expect(observed.value.largestBody <= limits.receiveBufferBytes + 64 << 10)
    }
  }

  @Test("a first head that does not come is 408", arguments: ["G", "GET / HTTP/1.1\r\nhost: h\r\n"])
  func headTimeout(request: String) async throws {
    try await withServer { $0.http1.headTimeout = .milliseconds(50) } _: { server, _ in
      try await RawClient.with(server.address) { client in
        try await client.send(request)
        let response = try await client.response()
        #expect(response.status == 408)
        #expect(try await client.rest() == "")
      }
    }
  }

  @Test("an idle connection is closed, also within its next head", arguments: ["", "GET / HT"])
  func idle(request: String) async throws {
    try await withServer { $0.http1.idleTimeout = .milliseconds(50) } _: { server, _ in
      try await RawClient.with(server.address) { client in
        try await client.send("GET /text HTTP/1.1\r\nhost: h\r\n\r\n" + request)
        #expect(try await client.response().status == 404)
        #expect(try await client.rest() == "")
      }
    }
  }

  @Test("a body that stops coming is 408 and cancels; a method that thinks has its time")
  func bodyTimeout() async throws {
    try await withServer {
      $0.http1.bodyTimeout = .milliseconds(50)
      $0.http1.idleTimeout = .milliseconds(50)
      $0.http1.headTimeout = .milliseconds(50)
      $0.http1.stallTimeout = .milliseconds(50)
    } _: { server, observed in
      try await RawClient.with(server.address) { patient in
        try await patient.send("GET /never HTTP/1.1\r\nhost: h\r\n\r\n")
        try await RawClient.with(server.address) { client in
          try await client.send("POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nab")
          #expect(try await client.response().status == 408)
          #expect(try await client.rest() == "")
        }
        #expect(observed.value.cancelled == 1)
      }
      try await observed.until { $0.cancelled == 2 }
    }
  }

  @Test("a client that does not take its answer is cut") func stall() async throws {
    try await withServer { $0.http1.stallTimeout = .milliseconds(50) } _: { server, observed in
      try await RawClient.with(server.address) { client in
        try await client.send("GET /huge HTTP/1.1\r\nhost: h\r\n\r\n")
        try await observed.until { !$0.accepted.isEmpty }
        while await server.openConnections() > 0 { try await Task.sleep(for: .milliseconds(5)) }
        // What the kernels held, however long it reads afterwards.
        #expect(try await client.rest().utf8.count < 32 << 20)
      }
    }
  }

  @Test("a connection too many is 503; when one has gone there is room again") func connections() async throws {
    try await withServer { $0.maximumConnections = 1 } _: { server, _ in
      try await RawClient.with(server.address) { first in
        try await first.send("GET /text HTTP/1.1\r\nhost: h\r\n\r\n")
        #expect(try await first.response().status == 404)
        try await RawClient.with(server.address) { second in
          try await second.send("GET /text HTTP/1.1\r\nhost: h\r\n\r\n")
          #expect(try await second.response().status == 503)
          #expect(try await second.rest() == "")
        }
      }
      // The server learns of the end of the first in its own time.
      var status = 503
      while status == 503 {
        try await RawClient.with(server.address) { client in
          try await client.send("GET /text HTTP/1.1\r\nhost: h\r\n\r\n")
          status = try await client.response().status
        }
      }
      #expect(status == 404)
    }
  }
}
