// AdminService.GetQuota: how near the server is to its limits.
package import Contracts
internal import Protobuf
package import RPC
package import Status

extension AdminService {
  package func getQuota(
    _ request: ESPV1.GetQuotaRequest, context: CallContext
  ) async throws(RPCStatus) -> ESPV1.GetQuotaResponse {
    guard let quotas = await facts.quotas() else {
      throw .unavailable("the server is starting: ask again", retryAfter: .milliseconds(100))
    }
    return .with { $0.quotas = quotas }
  }
}
