// TelemetryService.Subscribe: the latest reading of each device, then each reading as it is committed.
package import Contracts
internal import Live
internal import PostgresStore
package import RPC
package import RPCMessages
package import Status
internal import Telemetry

extension TelemetryService {
  package func subscribe(
    _ request: ESPV1.SubscribeRequest, responses: ResponseStream<ESPV1.SubscribeResponse>, context: CallContext
  ) async throws(RPCStatus) {
    // The same rules for devices as a query's.
    let query = try ReadingQuery(deviceID: request.deviceID, start: nil, end: nil, anomaliesOnly: false,
                                 minQuality: nil)
    try query.validate()
    var filter = LiveFilter()
    filter.deviceIDs = Array(Set(query.deviceIDs))
    filter.anomaliesOnly = request.anomaliesOnly
    let fields = try ReadingFields(nil)
    let subscription = try await live.subscribe(filter, resumeToken: request.resumeToken)
    while true {
      let piece = try await subscription.next()
      if piece.gap > 0 {
        var gap = ESPV1.Gap()
        gap.count = piece.gap
        var response = ESPV1.SubscribeResponse()
        response.message = .gap(gap)
        response.resumeToken = piece.gapResumeToken
        try await responses.send(response)
      }
      for index in piece.readings.batch.readings.indices {
        var response = ESPV1.SubscribeResponse()
        response.message = .reading(fields.message(piece.readings, index))
        response.resumeToken = piece.resumeToken(after: index)
        try await responses.send(response)
      }
    }
  }
}
