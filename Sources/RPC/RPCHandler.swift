// Takes HTTP exchanges that carry gRPC and makes calls of them.
package import HTTPCore
package import NIOCore
internal import Status

/// Limits of a call; each has a row in ARCHITECTURE.md 5.
package struct RPCLimits: Sendable {
  /// Largest message, bytes, decided from its prefix. 4 MiB is what gRPC clients expect. Beyond: RESOURCE_EXHAUSTED
  /// with limit and size, and no retry information, for a repetition can't help.
  package var maximumMessageBytes = 4 << 20
  /// How long a message may be on its way while others find no room for theirs: 4 MiB at 1.1 Mbit/s. Beyond:
  /// RESOURCE_EXHAUSTED with retry information.
  package var messageTimeout = Duration.seconds(30)
  /// Response bytes of a connection that its client has not read, bytes: no large answer is made beside them. Beyond:
  /// RESOURCE_EXHAUSTED with retry information.
  package var maximumUnreadBytes = 4 << 20

  package init() {}
}

/// What the head of a call says: found out once for all calls of a connection that have the same head.
final class RPCRoute {
  let type: GRPCContentType
  let method: RPCMethod
  let encoding: MessageEncoding
  let timeout: Duration?

  init(type: GRPCContentType, method: RPCMethod, encoding: MessageEncoding, timeout: Duration?) {
    self.type = type
    self.method = method
    self.encoding = encoding
    self.timeout = timeout
  }
}

/// The gRPC server protocol on one event loop.
package final class RPCHandler: HTTPHandler {
  static let responseFields = HTTPFields([("content-type", "application/grpc")])
  /// The head of a response without metadata or compression.
  static let responseHead = PreparedFields(status: 200, fields: responseFields)

  let eventLoop: any EventLoop
  let executor: any TaskExecutor
  let limits: RPCLimits
  let statusFields: StatusFields
  /// Every response is compressed for clients that take it, not only those whose methods ask.
  let compressesMessages: Bool
  let memory: CallMemory
  lazy var compression = MessageCompression()
  private let router: RPCRouter
  let calls: CallTable

  /// - Parameters:
  ///   - budget: what messages count against; the process has one.
  ///   - registry: lists the streaming calls of all loops; nil = nobody asks.
  package init(eventLoop: any EventLoop, router: RPCRouter, statusFields: StatusFields,
               limits: RPCLimits = RPCLimits(), budget: ByteBudget = ByteBudget(), compressesMessages: Bool = false,
               registry: CallRegistry? = nil) {
    memory = CallMemory(budget, eventLoop: eventLoop, messageTimeout: limits.messageTimeout)
    calls = registry?.makeTable(eventLoop) ?? CallTable(loop: eventLoop)
    self.eventLoop = eventLoop
    executor = EventLoopTaskExecutor(eventLoop: eventLoop)
    self.router = router
    self.statusFields = statusFields
    self.limits = limits
    self.compressesMessages = compressesMessages
  }

  package func drain() { calls.drain() }

  package func accept(_ exchange: any HTTPExchange) -> (any HTTPExchangeDelegate)? {
    if let route = exchange.memo?.value as? RPCRoute, !memory.budget.isExhausted { return start(route, exchange) }
    let head = exchange.head
    guard let type = GRPCContentType(head) else { return refused(exchange) }
    guard head.isMethod("POST") else {
      return refuse(exchange, status: 405, field: ("allow", "POST"), "gRPC is called by POST")
    }
    guard type != .grpc || exchange.carriesTrailers else {
      return refuse(exchange, status: 505, field: nil,
                            "gRPC needs HTTP/2; over HTTP/1.1 use application/grpc-web+proto")
    }
    do throws(RPCStatus) {
      let route = RPCRoute(type: type, method: try method(of: head), encoding: try encoding(of: head),
                           timeout: try timeout(of: head))
      if case .single = route.method.handler, memory.budget.isExhausted { throw memory.refusal(.held) }
      head.memo?.value = route
      return start(route, exchange)
    } catch {
      var fields = Self.responseFields
      if error.code == .unimplemented { fields.append("grpc-accept-encoding", MessageEncoding.accepted) }
      statusFields.append(error, to: &fields)
      let exchange = type == .grpc ? exchange : GRPCWebExchange(exchange, type)
      exchange.respond(status: 200, fields: fields, isEnd: true)
      return nil
    }
  }

  package func refuse(_ exchange: any HTTPExchange, _ reason: HTTPRefusal) {
    guard let type = GRPCContentType(exchange.head) else {
      return exchange.respond(status: 503, fields: HTTPFields([("retry-after", "1")]), isEnd: true)
    }
    var fields = Self.responseFields
    statusFields.append(Self.status(of: reason), to: &fields)
    let exchange = type == .grpc ? exchange : GRPCWebExchange(exchange, type)
    exchange.respond(status: 200, fields: fields, isEnd: true)
  }

  static func status(of reason: HTTPRefusal) -> RPCStatus {
    switch reason {
    case .tooManyConnections(let limit):
      .overloaded(subject: "connections", "the server has all the \(limit) connections it takes: come again later",
                  retryAfter: .seconds(1))
    case .unreadAnswers(let byteCount, let limit):
      .overloaded(subject: "unread answers", """
        answers of \(byteCount) bytes wait to be read on this connection; the limit is \(limit): read them first
        """, retryAfter: .seconds(1))
    }
  }

  private func start(_ route: RPCRoute, _ exchange: any HTTPExchange) -> any HTTPExchangeDelegate {
    guard route.type == .grpc else {
      let web = GRPCWebExchange(exchange, route.type)
      let call = RPCCall(route: route, exchange: web, handler: self)
      web.call = call
      call.start()
      return web
    }
    let call = RPCCall(route: route, exchange: exchange, handler: self)
    call.start()
    return call
  }

  /// HTTP/1.1 is refused at once: its client may wait for 100 (RFC 9110 10.1.1), and its parser has seen all there is.
  private func refuse(_ exchange: any HTTPExchange, status: Int, field: (String, String)?,
                      _ sentence: String) -> RefusedRequest? {
    if exchange.carriesTrailers { return RefusedRequest(exchange, status: status, field: field, sentence) }
    exchange.respond(status: status, fields: HTTPFields([field].compactMap(\.self)), text: sentence)
    return nil
  }

  private static let webTypes = "application/grpc-web, application/grpc-web-text"

  /// What carries no gRPC, in HTTP's words: is the path ours, and if so, what is wrong.
  private func refused(_ exchange: any HTTPExchange) -> RefusedRequest? {
    let head = exchange.head
    guard (try? method(of: head)) != nil else {
      return refuse(exchange, status: 404, field: nil, "there is nothing at this path")
    }
    guard head.isMethod("POST") else {
      return refuse(exchange, status: 405, field: ("allow", "POST"), "gRPC is called by POST")
    }
    let types = (exchange.carriesTrailers ? "application/grpc, " : "") + Self.webTypes
    return refuse(exchange, status: 415, field: ("accept-post", types), "content-type must be one of \(types)")
  }

  private func method(of head: HTTPRequestHead) throws(RPCStatus) -> RPCMethod {
    var found: Result<RPCMethod, RPCStatus> = .failure(.ok)
    head.withPath { path in
      do throws(RPCStatus) { found = .success(try router.method(for: path)) } catch { found = .failure(error) }
    }
    return try found.get()
  }

  private func encoding(of head: HTTPRequestHead) throws(RPCStatus) -> MessageEncoding {
    guard let index = head.fields.firstIndex(of: KnownField.grpcEncoding) else { return .identity }
    guard let encoding = head.fields.withValue(at: index, MessageEncoding.init(name:)) else {
      throw RPCStatus(.unimplemented, """
        grpc-encoding \(head.fields["grpc-encoding"] ?? "") is not supported; supported: \(MessageEncoding.accepted)
        """)
    }
    return encoding
  }

  private func timeout(of head: HTTPRequestHead) throws(RPCStatus) -> Duration? {
    guard let index = head.fields.firstIndex(of: KnownField.grpcTimeout) else { return nil }
    guard let timeout = head.fields.withValue(at: index, GRPCTimeout.parse) else {
      throw RPCStatus(.invalidArgument, """
        grpc-timeout \(head.fields["grpc-timeout"] ?? ""): expected 1 to 8 digits and one of H M S m u n
        """)
    }
    return timeout
  }
}
