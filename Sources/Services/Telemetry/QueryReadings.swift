// TelemetryService.QueryReadings: stored readings in pages.
package import Contracts
internal import PostgresStore
package import RPC
package import Status
internal import Telemetry

extension TelemetryService {
  package func queryReadings(
    _ request: ESPV1.QueryReadingsRequest, context: CallContext
  ) async throws(RPCStatus) -> ESPV1.QueryReadingsResponse {
    let fields = try ReadingFields(request.fields)
    var query = try ReadingQuery(deviceID: request.deviceID, start: request.startTime, end: request.endTime,
                                 anomaliesOnly: request.anomaliesOnly, minQuality: request.minQuality)
    if request.limit > 0 { query.limit = Int(request.limit) }
    query.order = request.order == .asc ? .ascending : .descending
    query.pageToken = request.pageToken
    let page = try await reader.page(query, deadline: context.deadline) { () throws(RPCStatus) in
      try context.checkRoom()
    }
    var response = ESPV1.QueryReadingsResponse()
    response.readings = page.readings.batch.readings.indices.map { fields.message(page.readings, $0) }
    response.nextPageToken = page.nextPageToken
    return response
  }
}
