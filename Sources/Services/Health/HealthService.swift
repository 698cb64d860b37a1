// grpc.health.v1.Health: Check and Watch.
package import Contracts
package import RPC
package import RPCMessages
package import Status

/// The gRPC health checking protocol.
package struct HealthService: GRPCHealthV1.HealthProtocol {
  private let statuses: HealthStatuses

  package init(statuses: HealthStatuses) { self.statuses = statuses }

  package func check(
    _ request: GRPCHealthV1.HealthCheckRequest, context: CallContext
  ) async throws(RPCStatus) -> GRPCHealthV1.HealthCheckResponse {
    guard let status = statuses.status(of: request.service) else {
      throw RPCStatus(.notFound, "unknown service \(request.service)")
    }
    return Self.response(status)
  }

  /// An unknown service is answered SERVICE_UNKNOWN and stays watched, as the protocol asks.
  package func watch(
    _ request: GRPCHealthV1.HealthCheckRequest,
    responses: ResponseStream<GRPCHealthV1.HealthCheckResponse>,
    context: CallContext
  ) async throws(RPCStatus) {
    var last: GRPCHealthV1.HealthCheckResponse?
    for await status in statuses.changes(of: request.service) {
      let response = Self.response(status)
      guard response != last else { continue }
      last = response
      try await responses.send(response)
    }
    throw .unavailable("the server is going away", retryAfter: .seconds(1))
  }

  private static func response(_ status: HealthStatuses.Status?) -> GRPCHealthV1.HealthCheckResponse {
    var response = GRPCHealthV1.HealthCheckResponse()
    response.status = switch status {
    case .serving: .serving
    case .notServing: .notServing
    case nil: .serviceUnknown
    }
    return response
  }
}
