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

/// The gRPC server protocol on one event loop.
package final class RPCHandler: HTTPHandler {
  static let responseFields = HTTPFields([("content-type", "application/grpc")])

  let eventLoop: any EventLoop
  let executor: any TaskExecutor
  let limits: RPCLimits
  let statusFields: StatusFields
  /// Every response is compressed for clients that take it, not only those whose methods ask.
  let compressesMessages: Bool
  let memory: CallMemory
  lazy var compression = MessageCompression()
  private let router: RPCRouter
  /// Streaming calls in progress, to be told of a drain.
  var streams: [ObjectIdentifier: RPCCall] = [:]

  /// - Parameter budget: what messages count against; the process has one.
  package init(eventLoop: any EventLoop, router: RPCRouter, statusFields: StatusFields,
               limits: RPCLimits = RPCLimits(), budget: ByteBudget = ByteBudget(), compressesMessages: Bool = false) {
    memory = CallMemory(budget, eventLoop: eventLoop, messageTimeout: limits.messageTimeout)
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
    guard isGRPC(exchange.head) else {
      exchange.respond(status: 415, fields: HTTPFields([("accept-post", "application/grpc")]), isEnd: true)
      return nil
    }
    guard exchange.head.isMethod("POST") else {
      exchange.respond(status: 405, fields: HTTPFields([("allow", "POST")]), isEnd: true)
      return nil
    }
    do throws(RPCStatus) {
      let method = try method(of: exchange.head)
      let encoding = try encoding(of: exchange.head)
      let timeout = try timeout(of: exchange.head)
      if case .single = method.handler, memory.budget.isExhausted { throw memory.refusal(.held) }
      let call = RPCCall(method: method, encoding: encoding, exchange: exchange, handler: self)
      call.start(timeout: timeout)
      return call
    } catch {
      var fields = Self.responseFields
      if error.code == .unimplemented { fields.append("grpc-accept-encoding", MessageEncoding.accepted) }
      statusFields.append(error, to: &fields)
      exchange.respond(status: 200, fields: fields, isEnd: true)
      return nil
    }
  }

  package func refuse(_ exchange: any HTTPExchange, _ reason: HTTPRefusal) {
    guard isGRPC(exchange.head) else {
      return exchange.respond(status: 503, fields: HTTPFields([("retry-after", "1")]), isEnd: true)
    }
    var fields = Self.responseFields
    statusFields.append(Self.status(of: reason), to: &fields)
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

  /// `application/grpc`, alone or followed by `+proto` or parameters; not `application/grpc-web`.
  private func isGRPC(_ head: HTTPRequestHead) -> Bool {
    guard let index = head.fields.firstIndex(of: "content-type") else { return false }
    return head.fields.withValue(at: index) { value in
      guard value.hasPrefix("application/grpc") else { return false }
      let rest = value.extracting(16..<value.count)
      return rest.isEmpty || rest[0] == UInt8(ascii: ";") || rest.isEqual(to: "+proto") || rest.hasPrefix("+proto;")
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
    guard let index = head.fields.firstIndex(of: "grpc-encoding") else { return .identity }
    guard let encoding = head.fields.withValue(at: index, MessageEncoding.init(name:)) else {
      throw RPCStatus(.unimplemented, """
        grpc-encoding \(head.fields["grpc-encoding"] ?? "") is not supported; supported: \(MessageEncoding.accepted)
        """)
    }
    return encoding
  }

  private func timeout(of head: HTTPRequestHead) throws(RPCStatus) -> Duration? {
    guard let index = head.fields.firstIndex(of: "grpc-timeout") else { return nil }
    guard let timeout = head.fields.withValue(at: index, GRPCTimeout.parse) else {
      throw RPCStatus(.invalidArgument, """
        grpc-timeout \(head.fields["grpc-timeout"] ?? ""): expected 1 to 8 digits and one of H M S m u n
        """)
    }
    return timeout
  }
}
