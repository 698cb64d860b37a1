// Methods on decoded messages: the generated tables use these to make byte handlers of typed async functions.
package import Protobuf
package import RPC
package import Status

extension RPCMethod {
  /// What a typed method throws, and nothing else.
  package typealias Failure = RPCStatus

  package static func unary<Request: ProtobufMessage, Response: ProtobufMessage>(
    _ path: String,
    _ body: @escaping @Sendable (Request, CallContext) async throws(RPCStatus) -> Response
  ) -> RPCMethod {
    single(path) { (request: Request, call, context) async throws(RPCStatus) in
      let response = try await body(request, context)
      call.respond { response.serialize(into: &$0) }
    }
  }

  package static func serverStreaming<Request: ProtobufMessage, Response: ProtobufMessage>(
    _ path: String,
    _ body: @escaping @Sendable (Request, ResponseStream<Response>, CallContext) async throws(RPCStatus) -> Void
  ) -> RPCMethod {
    single(path, streamsResponses: true) { (request: Request, call, context) async throws(RPCStatus) in
      try await body(request, ResponseStream(call), context)
      call.finish(.ok)
    }
  }

  package static func clientStreaming<Request: ProtobufMessage, Response: ProtobufMessage>(
    _ path: String,
    _ body: @escaping @Sendable (RequestStream<Request>, CallContext) async throws(RPCStatus) -> Response
  ) -> RPCMethod {
    stream(path) { (requests: RequestStream<Request>, call, context) async throws(RPCStatus) in
      let response = try await body(requests, context)
      call.respond { response.serialize(into: &$0) }
    }
  }

  package static func bidirectional<Request: ProtobufMessage, Response: ProtobufMessage>(
    _ path: String,
    _ body: @escaping @Sendable (RequestStream<Request>, ResponseStream<Response>, CallContext)
      async throws(RPCStatus) -> Void
  ) -> RPCMethod {
    stream(path) { (requests: RequestStream<Request>, call, context) async throws(RPCStatus) in
      try await body(requests, ResponseStream(call), context)
      call.finish(.ok)
    }
  }

  private static func single<Request: ProtobufMessage>(
    _ path: String, streamsResponses: Bool = false,
    _ body: @escaping @Sendable (Request, RPCCall, CallContext) async throws(RPCStatus) -> Void
  ) -> RPCMethod {
    let handler = RPCMethod.Handler.single { message, call in
      do throws(ProtobufError) {
        let request = try Request(serialized: message)
        let byteCount = message.count
        call.hold(byteCount)
        run(call) { context async throws(RPCStatus) in
          defer { call.release(byteCount) }
          try await body(request, call, context)
        }
      } catch {
        call.finish(error.rpcStatus)
      }
    }
    return RPCMethod(path: path, handler: handler, streamsResponses: streamsResponses)
  }

  private static func stream<Request: ProtobufMessage>(
    _ path: String,
    _ body: @escaping @Sendable (RequestStream<Request>, RPCCall, CallContext) async throws(RPCStatus) -> Void
  ) -> RPCMethod {
    RPCMethod(path: path, handler: .stream { call in
      let source = RequestSource<Request>(call)
      run(call) { context async throws(RPCStatus) in
        defer { source.drop() }
        try await body(RequestStream(source), call, context)
      }
      return source
    })
  }

  /// Runs a method as a task on the loop of its call, cancelled with it.
  private static func run(_ call: RPCCall, _ body: @escaping @Sendable (CallContext) async throws(RPCStatus) -> Void) {
    let context = call.context
    let task = Task.immediate(executorPreference: call.executor) {
      do throws(RPCStatus) { try await body(context) } catch { call.finish(error) }
    }
    if call.isOpen { call.whenCancelled { task.cancel() } }
  }
}
