// TelemetryService.QueryReadings: stored readings in pages.
package import Contracts
internal import PostgresStore
package import RPC
package import Status
internal import Telemetry

extension TelemetryService {
  /// Readings a page has when the request does not say.
  private static var defaultLimit: UInt32 { 1000 }
  /// Beyond: INVALID_ARGUMENT; a page is one message and 10,000 readings are about 1 MB. ExportReadings has no limit.
  private static var maximumLimit: UInt32 { 10_000 }

  package func queryReadings(
    _ request: ESPV1.QueryReadingsRequest, context: CallContext
  ) async throws(RPCStatus) -> ESPV1.QueryReadingsResponse {
    let fields = try ReadingFields(request.fields)
    guard request.limit <= Self.maximumLimit else {
      throw .invalidField("limit", "is \(request.limit); at most \(Self.maximumLimit) are given: page, or use ExportReadings")
    }
    let range = try TimeRange(request.startTime, request.endTime, now: WallClock.now)
    var query = ReadingQuery()
    query.deviceIDs = try ReadingFilter.deviceIDs(request.deviceID)
    query.startTime = range.start
    query.endTime = range.end
    query.limit = Int(request.limit == 0 ? Self.defaultLimit : request.limit)
    query.order = request.order == .asc ? .ascending : .descending
    query.anomaliesOnly = request.anomaliesOnly
    query.minimumQuality = try ReadingFilter.minimumQuality(request.minQuality)
    query.pageToken = request.pageToken
    let page = try await reader.page(query, deadline: context.deadline)
    var response = ESPV1.QueryReadingsResponse()
    response.readings = page.readings.batch.readings.indices.map { fields.message(page.readings, $0) }
    response.nextPageToken = page.nextPageToken
    return response
  }
}
