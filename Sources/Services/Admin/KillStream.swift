// AdminService.KillStream: ends one streaming call.
package import Contracts
package import RPC
package import Status

extension AdminService {
  /// Of the reason, bytes: it travels in a header, percent-encoded. Beyond: INVALID_ARGUMENT.
  private static let maximumReasonBytes = 256

  package func killStream(
    _ request: ESPV1.KillStreamRequest, context: CallContext
  ) async throws(RPCStatus) -> ESPV1.KillStreamResponse {
    guard request.streamID > 0 else {
      throw .invalidField("stream_id", "is 0; ListStreams says which ids there are")
    }
    let byteCount = request.reason.utf8.count
    guard (1...Self.maximumReasonBytes).contains(byteCount) else {
      throw .invalidField("reason", """
        has \(byteCount) bytes; 1 to \(Self.maximumReasonBytes) are needed: the stream's client is told
        """)
    }
    let status = RPCStatus(.aborted, "ended by an operator: \(request.reason)",
                           details: [.errorInfo(reason: "KILLED", metadata: ["reason": request.reason])])
    guard await registry.abort(request.streamID, status) else {
      throw RPCStatus(.notFound, "no stream \(request.streamID) is open; it may have ended meanwhile")
    }
    return ESPV1.KillStreamResponse()
  }
}
