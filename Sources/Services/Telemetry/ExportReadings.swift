// TelemetryService.ExportReadings: all stored readings of a range, in time order, with flat memory.
package import Contracts
internal import PostgresStore
package import RPC
package import Status
internal import Telemetry

extension TelemetryService {
  package func exportReadings(
    _ request: ESPV1.ExportReadingsRequest, responses: ResponseStream<ESPV1.ExportReadingsResponse>,
    context: CallContext
  ) async throws(RPCStatus) {
    let fields = try ReadingFields(request.fields)
    let range = try TimeRange(request.startTime, request.endTime, now: WallClock.now)
    var query = ReadingQuery()
    query.deviceIDs = try ReadingFilter.deviceIDs(request.deviceID)
    query.startTime = range.start
    query.endTime = range.end
    query.order = .ascending
    query.anomaliesOnly = request.anomaliesOnly
    query.minimumQuality = try ReadingFilter.minimumQuality(request.minQuality)
    let export = try await reader.export(query, deadline: context.deadline)
    while let stored = try await export.next() {
      for index in stored.batch.readings.indices {
        var response = ESPV1.ExportReadingsResponse()
        response.reading = fields.message(stored, index)
        try await responses.send(response)
      }
    }
  }
}
