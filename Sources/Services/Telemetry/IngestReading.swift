// TelemetryService.IngestReading: one reading.
internal import Contracts
package import RPC
internal import Status

extension TelemetryService {
  package func ingestReading(_ message: Span<UInt8>, call: RPCCall) {
    let lane = lanes.lane(of: call.eventLoop)
    do throws(RPCStatus) {
      let (head, _) = try lane.decode { now, batch throws(RPCStatus) in
        try decoder.decodeIngestReading(message, now: now, into: &batch)
      }
      lane.await(head, call: call) { $0.append(readingRequest: message) }
    } catch {
      call.finish(error)
    }
  }
}
