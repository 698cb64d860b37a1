// AdminService.GetServerInfo: what the server runs with, and what is open now.
package import Contracts
package import RPC
package import Status

extension AdminService {
  package func getServerInfo(
    _ request: ESPV1.GetServerInfoRequest, context: CallContext
  ) async throws(RPCStatus) -> ESPV1.GetServerInfoResponse {
    guard var info = await facts.now() else {
      throw .unavailable("the server is starting: ask again", retryAfter: .milliseconds(100))
    }
    info.openStreams = UInt32(clamping: await registry.count())
    return info
  }
}
