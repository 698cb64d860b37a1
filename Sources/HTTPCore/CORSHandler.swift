// Which pages of other origins may call this server from a browser (Fetch standard, "CORS protocol").

/// The pages that may, by their origin.
public struct CORSPolicy: Sendable {
  /// How long a browser may keep the answer to a preflight, seconds: the most that Chromium takes.
  private static let maximumAgeSeconds = 7200
  /// Methods of calls and of REST; a route says itself which it has.
  private static let methods = "GET, POST, PUT, PATCH, DELETE"
  /// What a script may read besides the body: where gRPC's status stands when there is no body.
  private static let exposed = "grpc-status, grpc-message, grpc-status-details-bin"

  private let origins: Set<String>

  /// - Parameter origins: exact, as a browser writes them: `https://host` or `https://host:port`.
  public init(origins: [String]) { self.origins = Set(origins) }

  /// What is added to the answer; nil when a browser has no use for it.
  func fields(for head: HTTPRequestHead) -> HTTPFields? {
    guard let origin = head.fields["origin"] else {
      // What a cache keeps without an origin must not be given to a page with one.
      return head.isMethod("GET") || head.isMethod("HEAD") ? HTTPFields([("vary", "origin")]) : nil
    }
    guard origins.contains(origin) else { return HTTPFields([("vary", "origin")]) }
    return HTTPFields([
      ("vary", "origin"), ("access-control-allow-origin", origin), ("access-control-expose-headers", Self.exposed),
    ])
  }

  /// The answer to a preflight; nil when the origin is not listed. Credentials (cookies) are never allowed: a script
  /// names its token itself.
  func preflight(_ head: HTTPRequestHead) -> HTTPFields? {
    guard let origin = head.fields["origin"], origins.contains(origin) else { return nil }
    var fields = HTTPFields([
      ("vary", "origin, access-control-request-headers"), ("access-control-allow-origin", origin),
      ("access-control-allow-methods", Self.methods), ("access-control-max-age", String(Self.maximumAgeSeconds)),
    ])
    if let wanted = head.fields["access-control-request-headers"], wanted.utf8.allSatisfy(Self.isOfNames) {
      fields.append("access-control-allow-headers", wanted)
    }
    return fields
  }

  /// A list of field names.
  private static func isOfNames(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
         UInt8(ascii: "0")...UInt8(ascii: "9"): true
    default: "-_.,! #$%&'*+^`|~".utf8.contains(byte)
    }
  }
}

/// Stands before the handlers of calls and of REST alike: whatever they answer, a listed page may read it.
public final class CORSHandler: HTTPHandler {
  private let policy: CORSPolicy
  private let handler: any HTTPHandler

  public init(_ policy: CORSPolicy, before handler: any HTTPHandler) {
    self.policy = policy
    self.handler = handler
  }

  public func accept(_ exchange: any HTTPExchange) -> (any HTTPExchangeDelegate)? {
    let head = exchange.head
    if head.isMethod("OPTIONS"), head.fields.firstIndex(of: "access-control-request-method") != nil {
      if let fields = policy.preflight(head) {
        exchange.respond(status: 204, fields: fields, isEnd: true)
      } else {
        exchange.respond(status: 403, fields: HTTPFields([("vary", "origin")]), text: "this origin may not call")
      }
      return nil
    }
    guard let fields = policy.fields(for: head) else { return handler.accept(exchange) }
    return handler.accept(CORSExchange(exchange, adding: fields))
  }

  public func drain() { handler.drain() }
}

/// An exchange whose answer has further fields.
private final class CORSExchange: HTTPExchange {
  private let exchange: any HTTPExchange
  private let added: HTTPFields

  init(_ exchange: any HTTPExchange, adding fields: HTTPFields) {
    self.exchange = exchange
    added = fields
  }

  var head: HTTPRequestHead { exchange.head }
  var bufferedByteCount: Int { exchange.bufferedByteCount }
  var peer: String { exchange.peer }
  var tlsPeer: TLSPeer? { exchange.tlsPeer }
  var carriesTrailers: Bool { exchange.carriesTrailers }

  var body: HTTPBody {
    get { exchange.body }
    _modify { yield &exchange.body }
  }

  func respond(status: Int, fields: HTTPFields, isEnd: Bool) {
    var all = fields
    all.append(contentsOf: added)
    exchange.respond(status: status, fields: all, isEnd: isEnd)
  }

  func write(_ append: (inout [UInt8]) -> Void) { exchange.write(append) }
  func finish(trailers: HTTPFields) { exchange.finish(trailers: trailers) }
  func reset(_ reason: HTTPResetReason) { exchange.reset(reason) }
  func creditReceivedBytes() { exchange.creditReceivedBytes() }
}
