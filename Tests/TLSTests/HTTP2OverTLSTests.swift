// HTTP/2 behind TLS: frames get through, the client's identity reaches the request, and a drain ends both.
import Glibc
import HTTPCore
import HTTPServer
import Logging
import NIOCore
import NIOPosix
import TLS
import Testing

/// Answers each request by the first URI in its client's certificate.
private final class IdentityHandler: HTTPHandler {
  func accept(_ exchange: any HTTPExchange) -> (any HTTPExchangeDelegate)? {
    let name = exchange.tlsPeer?.certificate?.uris.first ?? "nobody"
    exchange.respond(status: 200, fields: HTTPFields(), isEnd: false)
    exchange.write { $0 += Array(name.utf8) }
    exchange.finish(trailers: HTTPFields([("done", "yes")]))
    return nil
  }

  func drain() {}
}

@Suite("HTTP/2 over TLS") struct HTTP2OverTLSTests {
  private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
  /// GET https / of RFC 7541's static table, authority `x`; END_STREAM and END_HEADERS, stream 1.
  private static let request: [UInt8] = [0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x87, 0x84, 0x41, 1, 0x78]

  private let certificates: TestCertificates
  private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  init() throws { certificates = try TestCertificates() }

  /// One plain listener and one with mutual TLS, drained at the end.
  private func withServer(_ body: (HTTPServer) async throws -> Void) async throws {
    let files = TLSFiles(certificate: certificates.path("server.pem"), key: certificates.path("server.key"),
                         clientAuthorities: certificates.path("ca.pem"))
    let credentials = try TLSCredentials(files, protocols: ["h2"], logger: logger)
    let listeners = [
      HTTPListener(host: "127.0.0.1", port: 0),
      HTTPListener(host: "127.0.0.1", port: 0) { [logger] channel in
        try channel.pipeline.syncOperations.addHandler(TLSHandler(credentials.current, logger: logger))
      },
    ]
    let server = try await HTTPServer(listeners: listeners, group: .singletonMultiThreadedEventLoopGroup,
                                       logger: logger) { _ in IdentityHandler() }
    do { try await body(server) } catch { Issue.record(error) }
    await server.drain(deadline: .zero)
  }

  private func connect(_ server: HTTPServer) throws -> TestClient {
    try certificates.issue("gateway", subject: "/CN=gateway", names: "URI:urn:gateway:12")
    let options = TestClient.Options(certificate: (certificates.path("gateway.pem"), certificates.path("gateway.key")))
    return try TestClient(server.addresses[1].port ?? 0, options)
  }

  /// The payload of the next DATA frame.
  private func nextData(_ client: TestClient) throws -> String {
    while true {
      let head = try client.read(9)
      let payload = try client.read(Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2]))
      if head[3] == 0 { return String(decoding: payload, as: UTF8.self) }
    }
  }

  @Test("a request knows who its client is") func identity() async throws {
    try await withServer { server in
      let client = try connect(server)
      try client.write(Self.preface + Self.request)
      #expect(try nextData(client) == "urn:gateway:12")
    }
  }

  @Test("both listeners answer, the plain one without identity") func plain() async throws {
    try await withServer { server in
      let socket = try TestClient.connect(server.addresses[0].port ?? 0)
      defer { close(socket) }
      let bytes = Self.preface + Self.request
      _ = unsafe send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
      var answer: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 4096)
      while !String(decoding: answer, as: UTF8.self).contains("nobody") {
        let count = unsafe recv(socket, &buffer, buffer.count, 0)
        try #require(count > 0)
        answer += buffer.prefix(count)
      }
    }
  }

  @Test("a drain that cuts a connection says close_notify") func drain() async throws {
    try await withServer { server in
      let client = try connect(server)
      try client.write(Self.preface + Self.request)
      _ = try nextData(client)
      await server.drain(deadline: .milliseconds(100))
      while (try? client.read(1)) != nil {}
      #expect(client.isClosedByServer())
    }
  }

  @Test("a drain does not wait for a client that is still shaking hands") func drainOfHandshake() async throws {
    try await withServer { server in
      let half = try TestClient.connect(server.addresses[1].port ?? 0)
      defer { close(half) }
      let start = ContinuousClock.now
      await server.drain(deadline: .seconds(20))
      #expect(ContinuousClock.now - start < .seconds(10))
      var byte: UInt8 = 0
      #expect(unsafe recv(half, &byte, 1, 0) <= 0)
    }
  }

  @Test("when the second address is taken the first is let go, and the error names it") func taken() async throws {
    try await withServer { server in
      let port = server.addresses[1].port ?? 0
      let listeners = [HTTPListener(host: "127.0.0.1", port: 0), HTTPListener(host: "127.0.0.1", port: port)]
      let error = await #expect(throws: HTTPListenError.self) {
        _ = try await HTTPServer(listeners: listeners, group: .singletonMultiThreadedEventLoopGroup,
                                  logger: logger) { _ in IdentityHandler() }
      }
      #expect(error?.description.hasPrefix("can't listen on 127.0.0.1:\(port): ") == true)
    }
  }
}
