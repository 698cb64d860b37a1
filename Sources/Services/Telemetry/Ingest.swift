// TelemetryService.Ingest: a batch, idempotent when it names its producer and sequence.
internal import Contracts
internal import NIOCore
internal import Pipeline
package import RPC
internal import Status
internal import Telemetry

extension TelemetryService {
  package func ingest(_ message: Span<UInt8>, call: RPCCall) {
    let lane = lanes.lane(of: call.eventLoop)
    do throws(RPCStatus) {
      let (head, apart) = try lane.decode { batch throws(RPCStatus) in
        try decoder.decodeIngest(message, now: WallClock.now, into: &batch)
      }
      guard head.result.received > 0 else { throw .invalidField("readings", "the request carries no readings") }
      if let apart {
        submit(head, apart, call)
      } else {
        lane.await(head, call: call)
      }
    } catch {
      call.finish(error)
    }
  }

  /// One step of a producer's sequence; its cursor is loaded first when this server does not know it.
  private func submit(_ head: IngestHead, _ batch: ReadingBatch, _ call: RPCCall) {
    let claim = Submission.Claim(producerID: head.producerID, sequence: head.sequence, owner: nil)
    let submission = Submission(claim: claim, batch: batch, deadLetters: head.deadLetters) { outcome in
      call.eventLoop.execute { call.answer(head.result, outcome) }
    }
    let admission = pipeline.submit(submission)
    if let status = admission.refusal { return call.finish(status) }
    guard admission == .unknownProducer else { return }
    pipeline.load(head.producerID) { loaded in
      call.eventLoop.execute {
        switch loaded {
        case .success: submit(head, batch, call)
        case .failure(let status): call.finish(status)
        }
      }
    }
  }
}
