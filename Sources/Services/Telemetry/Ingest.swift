// TelemetryService.Ingest: a batch, idempotent when it names its producer and sequence.
internal import Contracts
internal import HTTPCore
internal import NIOCore
internal import Pipeline
package import RPC
internal import Status
internal import Telemetry

extension TelemetryService {
  package func ingest(_ message: Span<UInt8>, call: RPCCall) {
    let lane = lanes.lane(of: call.eventLoop)
    do throws(RPCStatus) {
      let (head, apart) = try lane.decode { now, batch throws(RPCStatus) in
        try decoder.decodeIngest(message, now: now, into: &batch)
      }
      guard head.result.received > 0 else { throw .invalidField("readings", "the request carries no readings") }
      if let apart {
        let record = Submission.Message(.ingestRequest, [UInt8](copying: message), receivedAt: apart.receivedAt)
        submit(head, record, apart.batch, call)
      } else {
        lane.await(head, call: call) { $0.append(request: message) }
      }
    } catch {
      call.finish(error)
    }
  }

  /// One step of a producer's sequence; its cursor is loaded first when this server does not know it.
  private func submit(_ head: IngestHead, _ message: Submission.Message, _ batch: ReadingBatch, _ call: RPCCall) {
    let (level, began) = (head.ackLevel.orDefault, ContinuousClock.now)
    let answer = Submission.Answer(max(level, .durable)) { [latencies] outcome in
      call.eventLoop.execute {
        if case .reached(let level, _) = outcome { latencies.record(level, since: began) }
        call.answer(head.result, outcome)
      }
    }
    let admission = pipeline.submit(Submission(
      claim: .init(producerID: head.producerID, sequence: head.sequence), message: message, batch: batch,
      deadLetters: head.deadLetters, rejected: head.result.rejected, answers: level == .accepted ? [] : [answer]))
    if let status = admission.refusal { return call.finish(status) }
    switch admission {
    case .accepted where level == .accepted: answer.completion(.reached(.accepted, refused: []))
    case .duplicate where level == .accepted: answer.completion(.duplicate(.accepted))
    case .unknownProducer:
      pipeline.load(head.producerID) { failure in
        call.eventLoop.execute {
          if let failure { call.finish(failure) } else { submit(head, message, batch, call) }
        }
      }
    default: break
    }
  }
}
