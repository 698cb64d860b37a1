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

/// The gRPC server protocol on one event loop.
package final class RPCHandler: HTTPHandler {
  static let responseFields = HTTPFields([("content-type", "application/grpc")])

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
    guard isGRPC(exchange.head) else {
      return RefusedRequest(exchange, status: 415, field: ("accept-post", "application/grpc"),
                            "content-type application/grpc is needed")
    }
    guard exchange.head.isMethod("POST") else {
      return RefusedRequest(exchange, status: 405, field: ("allow", "POST"), "gRPC is called by POST")
    }
    do throws(RPCStatus) {
      let method = try method(of: exchange.head)
      let encoding = try encoding(of: exchange.head)
      let timeout = try timeout(of: exchange.head)
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
