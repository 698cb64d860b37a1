// Which pages of other origins a browser lets call us: preflights, and the fields beside each answer (Fetch standard).
import HTTPCore
import NIOCore
import RPC
import TestSupport
import Testing

@Suite("CORS") struct CORSTests {
  static let listed = "https://desk.example:8443"
  static let policy = CORSPolicy(origins: [listed, "http://127.0.0.1:9000"])
  static let granting = ["access-control-allow-origin", "access-control-allow-methods",
                         "access-control-allow-headers", "access-control-max-age", "access-control-allow-credentials"]

  func open(_ method: String, path: String = "/test.Echo/Unary", _ fields: [(String, String)]) -> MemoryExchange {
    let exchange = MemoryExchange(path: path, fields: fields, method: method)
    exchange.carriesTrailers = false
    exchange.delegate = CORSHandler(Self.policy, before: RPCHandlerTests.Fixture().handler).accept(exchange)
    return exchange
  }

  @Test("a preflight of a listed origin is granted, with the fields that it names") func preflight() {
    let exchange = open("OPTIONS", [
      ("origin", Self.listed), ("access-control-request-method", "POST"),
      ("access-control-request-headers", "authorization,content-type,grpc-timeout,x-grpc-web"),
    ])
    #expect(exchange.status == 204)
    #expect(exchange.isEnded)
    #expect(exchange.delegate == nil)
    #expect(exchange.fields.values(of: "access-control-allow-origin") == [Self.listed])
    #expect(exchange.fields["access-control-allow-methods"]?.contains("POST") == true)
    #expect(exchange.fields["access-control-allow-headers"]
              == "authorization,content-type,grpc-timeout,x-grpc-web")
    #expect(exchange.fields["access-control-max-age"] == "7200")
    #expect(exchange.fields["access-control-allow-credentials"] == nil)
    #expect(exchange.fields["vary"] == "origin, access-control-request-headers")
  }

  @Test("a preflight without further fields names none; what is no list of names is not echoed", arguments: [
    nil, "x-a\u{1}", "x-a\"", "(x)", "x:y",
  ] as [String?])
  func preflightFields(names: String?) {
    let exchange = open("OPTIONS", [("origin", Self.listed), ("access-control-request-method", "POST")]
      + (names.map { [("access-control-request-headers", $0)] } ?? []))
    #expect(exchange.status == 204)
    #expect(exchange.fields["access-control-allow-origin"] == Self.listed)
    #expect(exchange.fields["access-control-allow-headers"] == nil)
  }

  @Test("other origins are granted nothing: neither preflight nor call", arguments: [
    "https://desk.example", "https://desk.example:8444", "http://desk.example:8443", "https://DESK.example:8443",
    "https://desk.example:8443.evil.example", "https://evil.example", "null", "*", "", "https://desk.example:8443/",
    "https://desk.example:8443, https://evil.example",
  ])
  func unlisted(origin: String) {
    let preflight = open("OPTIONS", [("origin", origin), ("access-control-request-method", "POST")])
    #expect(preflight.status == 403)
    let call = open("POST", [("origin", origin), ("content-type", "application/grpc-web")])
    call.receive(frame([1]))
    call.end()
    // It is the browser that keeps the answer from the page; others have no origin to be judged by.
    #expect(call.status == 200)
    for exchange in [preflight, call] {
      for name in Self.granting { #expect(exchange.fields[name] == nil, "\(name)") }
      #expect(exchange.fields["vary"] == "origin")
      #expect(exchange.isEnded)
    }
  }

  @Test("a call of a listed origin may be read, errors of each kind too", arguments: [
    ("POST", "/test.Echo/Unary", "application/grpc-web", 200),
    ("POST", "/test.Echo/Unary", "application/grpc-web-text", 200),
    ("POST", "/test.Echo/Nothing", "application/grpc-web", 200), ("POST", "/test.Echo/Unary", "application/json", 415),
    ("POST", "/test.Echo/Unary", "application/grpc", 505), ("GET", "/test.Echo/Unary", "", 405), ("GET", "/", "", 404),
  ])
  func listed(method: String, path: String, type: String, status: Int) throws {
    let exchange = open(method, path: path, [("origin", Self.listed), ("content-type", type)])
    let isText = type.hasSuffix("text")
    exchange.receive(isText ? base64(frame([1])) : frame([1]))
    exchange.end()
    #expect(exchange.status == status)
    #expect(exchange.fields.values(of: "access-control-allow-origin") == [Self.listed])
    #expect(exchange.fields["access-control-expose-headers"]
              == "grpc-status, grpc-message, grpc-status-details-bin")
    #expect(exchange.fields["vary"] == "origin")
    if status == 200 { #expect(try WebAnswer(exchange, isText: isText)["grpc-status"] != nil) }
  }

  @Test("a second listed origin gets its own name") func second() {
    let exchange = open("GET", path: "/", [("origin", "http://127.0.0.1:9000")])
    exchange.end()
    #expect(exchange.fields["access-control-allow-origin"] == "http://127.0.0.1:9000")
  }

  @Test("without an origin nothing is granted; what a cache may keep says on what it depends") func noOrigin() {
    let get = open("GET", path: "/", [])
    get.end()
    #expect(get.fields["vary"] == "origin")
    let post = open("POST", [("content-type", "application/grpc-web")])
    post.receive(frame([1]))
    post.end()
    #expect(post.fields["vary"] == nil)
    for name in Self.granting { #expect(post.fields[name] == nil && get.fields[name] == nil) }
  }

  @Test("OPTIONS that is no preflight goes to the handler, and so does a preflight without an origin in vain")
  func options() {
    let plain = open("OPTIONS", [("origin", Self.listed)])
    plain.end()
    #expect(plain.status == 405)
    #expect(open("OPTIONS", [("access-control-request-method", "POST")]).status == 403)
  }

  @Test("plain gRPC over HTTP/2 passes as it came") func plain() {
    let exchange = MemoryExchange(path: "/test.Echo/Unary")
    exchange.delegate = CORSHandler(Self.policy, before: RPCHandlerTests.Fixture().handler).accept(exchange)
    exchange.receive(frame([4]))
    exchange.end()
    #expect(exchange.messages == [[4]])
    #expect(exchange.grpcStatus == "0")
    #expect(exchange.fields["vary"] == nil)
  }

  @Test("a drain passes") func drain() {
    let fixture = RPCHandlerTests.Fixture()
    let handler = CORSHandler(Self.policy, before: fixture.handler)
    let exchange = MemoryExchange(path: "/test.Echo/Stream", fields: [
      ("origin", Self.listed), ("content-type", "application/grpc-web"),
    ])
    exchange.delegate = handler.accept(exchange)
    handler.drain()
    #expect(fixture.recorder?.isDraining == true)
  }
}
