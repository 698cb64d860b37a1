// AdminService.ListStreams: the open streaming calls, in pages.
package import Contracts
internal import HTTPCore
package import RPC
package import Status

extension AdminService {
  /// Streams of a page when the request does not say, and at most: some 300 bytes each. Beyond: INVALID_ARGUMENT.
  private static let defaultPageSize: UInt32 = 100
  private static let maximumPageSize: UInt32 = 1000

  package func listStreams(
    _ request: ESPV1.ListStreamsRequest, context: CallContext
  ) async throws(RPCStatus) -> ESPV1.ListStreamsResponse {
    guard request.pageSize <= Self.maximumPageSize else {
      throw .invalidField("page_size", "is \(request.pageSize); at most \(Self.maximumPageSize) is possible")
    }
    let size = Int(request.pageSize == 0 ? Self.defaultPageSize : request.pageSize)
    var last: UInt64 = 0
    if !request.pageToken.isEmpty {
      guard let id = UInt64(request.pageToken) else {
        throw .invalidField("page_token", "is not one of ours: give next_page_token of the page before, as it came")
      }
      last = id
    }
    // One more than asked for tells whether there is another page.
    let found = await registry.calls(after: last, limit: size + 1) { ESPV1.StreamInfo($0) }
    var response = ESPV1.ListStreamsResponse()
    response.streams = Array(found.prefix(size))
    if found.count > size, let last = response.streams.last { response.nextPageToken = String(last.streamID) }
    return response
  }
}

extension ESPV1.StreamInfo {
  /// A call as it is now; on the call's loop.
  init(_ call: RPCCall) {
    self.init()
    let (context, now) = (call.context, ContinuousClock.now)
    streamID = call.id
    method = context.method
    peer = context.peer
    principal = call.certificate?.subject ?? ""
    age = call.begin.map { GoogleProtobuf.Duration(now - $0) }
    timeLeft = context.deadline.map { GoogleProtobuf.Duration(max(.zero, $0 - now)) }
    receivedMessages = UInt64(call.received.messages)
    receivedBytes = UInt64(call.received.bytes)
    sentMessages = UInt64(call.sent.messages)
    sentBytes = UInt64(call.sent.bytes)
    waitingBytes = UInt64(call.bufferedByteCount)
    windows = call.windows.map { open in
      var windows = ESPV1.StreamWindows()
      windows.clientMaySendBytes = UInt32(clamping: open.receivable)
      windows.serverMaySendBytes = UInt32(clamping: open.sendable)
      return windows
    }
    paused = call.isPaused
    ingest = (call.receiver as? IngestStreamReceiver)?.progress
  }
}
