// The streaming methods of grpc.testing.TestService.
internal import Protobuf
package import RPC
package import RPCMessages
package import Status

extension InteropTestService {
  package func streamingOutputCall(
    _ request: GRPCTesting.StreamingOutputCallRequest,
    responses: ResponseStream<GRPCTesting.StreamingOutputCallResponse>, context: CallContext
  ) async throws(RPCStatus) {
    try context.echoMetadata()
    if request.wantsCompression { context.compressMessages() }
    try await answer(request, responses)
    try request.responseStatus?.throwIfError()
  }

  package func streamingInputCall(
    _ requests: RequestStream<GRPCTesting.StreamingInputCallRequest>, context: CallContext
  ) async throws(RPCStatus) -> GRPCTesting.StreamingInputCallResponse {
    try context.echoMetadata()
    var sum = 0
    var iterator = requests.makeAsyncIterator()
    while let request = try await iterator.next() {
      try Self.check(request.expectCompressed, isCompressed: iterator.wasMessageCompressed)
      sum += request.payload?.body.count ?? 0
    }
    return .with { $0.aggregatedPayloadSize = Int32(clamping: sum) }
  }

  package func fullDuplexCall(
    _ requests: RequestStream<GRPCTesting.StreamingOutputCallRequest>,
    responses: ResponseStream<GRPCTesting.StreamingOutputCallResponse>, context: CallContext
  ) async throws(RPCStatus) {
    try context.echoMetadata()
    for try await request in requests {
      try request.responseStatus?.throwIfError()
      try await answer(request, responses)
    }
  }

  package func halfDuplexCall(
    _ requests: RequestStream<GRPCTesting.StreamingOutputCallRequest>,
    responses: ResponseStream<GRPCTesting.StreamingOutputCallResponse>, context: CallContext
  ) async throws(RPCStatus) {
    try context.echoMetadata()
    var received: [GRPCTesting.StreamingOutputCallRequest] = []
    for try await request in requests { received.append(request) }
    for request in received { try await answer(request, responses) }
  }

  private func answer(
    _ request: GRPCTesting.StreamingOutputCallRequest,
    _ responses: ResponseStream<GRPCTesting.StreamingOutputCallResponse>
  ) async throws(RPCStatus) {
    for parameters in request.responseParameters {
      if parameters.intervalUs > 0 {
        // Only cancellation ends the sleep early; the call has its status then.
        do { try await Task.sleep(for: .microseconds(Int(parameters.intervalUs))) } catch {
          throw RPCStatus(.cancelled, "the client has gone")
        }
      }
      let payload = try Self.payload(byteCount: parameters.size)
      try await responses.send(.with { $0.payload = payload }, isPlain: parameters.compressed?.value != true)
    }
  }
}

extension GRPCTesting.StreamingOutputCallRequest {
  fileprivate var wantsCompression: Bool { responseParameters.contains { $0.compressed?.value == true } }
}
