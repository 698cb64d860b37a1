// TelemetryService.ExportReadings: all stored readings of a range, in time order, with flat memory.
package import Contracts
internal import PostgresStore
package import RPC
package import RPCMessages
package import Status
internal import Telemetry

extension TelemetryService {
  package func exportReadings(
    _ request: ESPV1.ExportReadingsRequest, responses: ResponseStream<ESPV1.ExportReadingsResponse>,
    context: CallContext
  ) async throws(RPCStatus) {
    let fields = try ReadingFields(request.fields)
    var query = try ReadingQuery(deviceID: request.deviceID, start: request.startTime, end: request.endTime,
                                 anomaliesOnly: request.anomaliesOnly, minQuality: request.minQuality)
    query.order = .ascending
    let export = try await reader.export(query)
    while let stored = try await export.next() {
      for index in stored.batch.readings.indices {
        var response = ESPV1.ExportReadingsResponse()
        response.reading = fields.message(stored, index)
        try await responses.send(response)
      }
    }
  }
}
