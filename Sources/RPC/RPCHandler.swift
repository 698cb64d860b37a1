// Takes HTTP exchanges that carry gRPC and makes calls of them.
package import HTTPCore
package import NIOCore
internal import Status

/// Limits of a call; each has a row in ARCHITECTURE.md 5.
package struct RPCLimits: Sendable {
  /// Largest message, bytes, decided from its prefix. 4 MiB is what gRPC clients expect. Beyond: RESOURCE_EXHAUSTED
  /// with limit and size, and no retry information, for a repetition can't help.
  package var maximumMessageBytes = 4 << 20

  package init() {}
}

/// What the head of a call says: found out once for all calls of a connection that have the same head.
final class RPCRoute {
  let method: RPCMethod
  let encoding: MessageEncoding
  let timeout: Duration?

  init(method: RPCMethod, encoding: MessageEncoding, timeout: Duration?) {
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
  lazy var compression = MessageCompression()
  private let router: RPCRouter
  /// Streaming calls in progress, to be told of a drain.
  var streams: [ObjectIdentifier: RPCCall] = [:]

  package init(eventLoop: any EventLoop, router: RPCRouter, statusFields: StatusFields,
               limits: RPCLimits = RPCLimits(), compressesMessages: Bool = false) {
    self.eventLoop = eventLoop
    executor = EventLoopTaskExecutor(eventLoop: eventLoop)
    self.router = router
    self.statusFields = statusFields
    self.limits = limits
    self.compressesMessages = compressesMessages
  }

  package func drain() {
    for call in Array(streams.values) { call.serverIsDraining() }
  }

  package func accept(_ exchange: any HTTPExchange) -> (any HTTPExchangeDelegate)? {
    let head = exchange.head
    if let route = head.memo?.value as? RPCRoute { return start(route, exchange) }
    guard isGRPC(head) else {
      exchange.respond(status: 415, fields: HTTPFields([("accept-post", "application/grpc")]), isEnd: true)
      return nil
    }
    guard head.isMethod("POST") else {
      exchange.respond(status: 405, fields: HTTPFields([("allow", "POST")]), isEnd: true)
      return nil
    }
    do throws(RPCStatus) {
      let route = RPCRoute(method: try method(of: head), encoding: try encoding(of: head),
                           timeout: try timeout(of: head))
      head.memo?.value = route
      return start(route, exchange)
    } catch {
      var fields = Self.responseFields
      if error.code == .unimplemented { fields.append("grpc-accept-encoding", MessageEncoding.accepted) }
      statusFields.append(error, to: &fields)
      exchange.respond(status: 200, fields: fields, isEnd: true)
      return nil
    }
  }

  private func start(_ route: RPCRoute, _ exchange: any HTTPExchange) -> RPCCall {
    let call = RPCCall(route: route, exchange: exchange, handler: self)
    call.start()
    return call
  }

  /// `application/grpc`, alone or followed by `+proto` or parameters; not `application/grpc-web`.
  private func isGRPC(_ head: HTTPRequestHead) -> Bool {
    guard let index = head.fields.firstIndex(of: KnownField.contentType) else { return false }
    return head.fields.withValue(at: index) { value in
      if value.matches("application/grpc") { return true }
      guard value.hasPrefix("application/grpc") else { return false }
      let rest = value.extracting(16..<value.count)
      return rest[0] == UInt8(ascii: ";") || rest.isEqual(to: "+proto") || rest.hasPrefix("+proto;")
    }
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
