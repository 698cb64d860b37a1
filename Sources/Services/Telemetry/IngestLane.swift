// Gathers the unary batches of one event loop, so that a turn of the loop is one record in the journal.
internal import Contracts
internal import Foundation
internal import NIOCore
internal import Pipeline
internal import RPC
internal import Status
internal import Telemetry

/// The lanes of all loops.
struct IngestLanes: Sendable {
  private let lanes: [(loop: ObjectIdentifier, lane: NIOLoopBoundBox<IngestLane>)]

  init(group: any EventLoopGroup, pipeline: IngestPipeline, latencies: AckLatencies) {
    // New with each start: what is left of an earlier one is told apart by it.
    let server = UUID().uuidString.lowercased()
    lanes = group.makeIterator().enumerated().map { index, loop in
      let lane = IngestLane(loop: loop, pipeline: pipeline, producerID: "~\(server)-\(index)", latencies: latencies)
      return (ObjectIdentifier(loop), NIOLoopBoundBox.makeBoxSendingValue(lane, eventLoop: loop))
    }
  }

  /// The lane of the loop that the caller runs on.
  func lane(of loop: any EventLoop) -> IngestLane {
    let id = ObjectIdentifier(loop)
    guard let entry = lanes.first(where: { $0.loop == id }) else {
      preconditionFailure("a call runs on a loop of ours")
    }
    return entry.lane.value
  }
}

/// Readings of unary calls that have no producer, from the first call until the loop's turn ends. They become steps of
/// a sequence of the lane's own, so that a crash never doubles them. Loop-confined.
final class IngestLane {
  /// A call whose readings are on their way.
  private struct Waiting: Sendable {
    let call: RPCCall
    let result: BatchResult
    let level: AckLevel
    /// Where its readings begin among those gathered.
    let firstPlace: Int
  }

  /// Readings gathered at most, one transaction's worth: until they are handed over the byte budget does not know them.
  private static let maximumReadings = 10_000
  /// Bytes of their messages at most, so that a record stays far below the journal's limit.
  private static let maximumBytes = 1 << 20

  private let loop: any EventLoop
  private let pipeline: IngestPipeline
  private let latencies: AckLatencies
  private let producerID: String
  /// Of the last record that the journal took.
  private var sequence: UInt64 = 0
  private var messages = IngestMessages()
  private var batch = ReadingBatch()
  private var deadLetters: [DeadLetter] = []
  private var waiting: [Waiting] = []
  /// One for all that is gathered, or a replay would judge by another time.
  private var receivedAt: Int64 = 0
  private var began = ContinuousClock.now

  init(loop: any EventLoop, pipeline: IngestPipeline, producerID: String, latencies: AckLatencies) {
    self.loop = loop
    self.pipeline = pipeline
    self.producerID = producerID
    self.latencies = latencies
    pipeline.register(ownProducer: producerID)
  }

  /// Decodes a request straight into the gathered batch; `decode` is given the time to judge by. Returns its head and,
  /// when it belongs to a producer's sequence and so can't travel with others, its readings apart.
  func decode(_ decode: (Int64, inout ReadingBatch) throws(RPCStatus) -> IngestHead) throws(RPCStatus)
    -> (head: IngestHead, apart: (batch: ReadingBatch, receivedAt: Int64)?) {
    if waiting.isEmpty {
      receivedAt = WallClock.now
      began = .now
    }
    let (index, textCount) = (batch.readings.count, batch.text.count)
    let head = try decode(receivedAt, &batch)
    guard !head.producerID.isEmpty, head.sequence > 0 else { return (head, nil) }
    let apart = batch.split(from: index)
    // Nothing that stays refers to the texts of this request.
    batch.text.removeSubrange(textCount...)
    return (head, (apart, receivedAt))
  }

  /// Answers `call` once the readings just decoded have reached their level. `append` adds its message.
  func await(_ head: IngestHead, call: RPCCall, append: (inout IngestMessages) -> Void) {
    if waiting.isEmpty {
      let bound = NIOLoopBound(self, eventLoop: loop)
      loop.execute { bound.value.submit() }
    }
    append(&messages)
    waiting.append(Waiting(call: call, result: head.result, level: head.ackLevel.orDefault,
                           firstPlace: batch.readings.count - Int(head.result.stored)))
    deadLetters += head.deadLetters
    if batch.readings.count + deadLetters.count >= Self.maximumReadings || messages.bytes.count >= Self.maximumBytes {
      submit()
    }
  }

  private func submit() {
    guard !waiting.isEmpty else { return }
    let calls = waiting
    waiting = []
    waiting.reserveCapacity(calls.count)
    let submission = Submission(
      claim: .init(producerID: producerID, sequence: sequence + 1),
      message: .init(.ingestRequest, messages.take(), receivedAt: receivedAt), batch: batch, deadLetters: deadLetters,
      rejected: calls.reduce(0) { $0 + $1.result.rejected }, answers: answers(calls))
    let readings = batch.readings.count
    batch = ReadingBatch()
    batch.readings.reserveCapacity(readings)
    deadLetters = []
    let admission = pipeline.submit(submission)
    if let status = admission.refusal { return answer(calls, .failed(status), began) }
    sequence += 1
    answer(calls.filter { $0.level == .accepted }, .reached(.accepted, refused: []), began)
  }

  private func answers(_ calls: [Waiting]) -> [Submission.Answer] {
    let began = began
    return [AckLevel.durable, .committed].compactMap { level in
      // Nearly always all of one level: no copy then.
      let waiting = calls.allSatisfy { $0.level == level } ? calls : calls.filter { $0.level == level }
      guard !waiting.isEmpty else { return nil }
      let bound = NIOLoopBound(self, eventLoop: loop)
      return .init(level) { [loop] outcome in
        loop.execute { bound.value.answer(waiting, outcome, began) }
      }
    }
  }

  private func answer(_ calls: [Waiting], _ outcome: Submission.Outcome, _ began: ContinuousClock.Instant) {
    if case .reached(let level, _) = outcome { latencies.record(level, since: began, count: calls.count) }
    for waiting in calls {
      var own = outcome
      if case .reached(let level, let refused) = outcome, !refused.isEmpty {
        let places = waiting.firstPlace..<waiting.firstPlace + Int(waiting.result.stored)
        own = .reached(level, refused: refused.filter(places.contains).map { $0 - waiting.firstPlace })
      }
      waiting.call.answer(waiting.result, own)
    }
  }
}

extension RPCCall {
  /// Answers a unary ingest call; `IngestResponse` and `IngestReadingResponse` have the same wire form.
  func answer(_ result: BatchResult, _ outcome: Submission.Outcome) {
    do throws(RPCStatus) {
      let settled = try result.settled(outcome)
      respond { IngestEncoder.encode(settled, field: 1, into: &$0) }
    } catch {
      finish(error)
    }
  }
}

extension Admission {
  /// What a unary call is told when its readings were not taken; nil when they were, or its cursor is to be loaded.
  var refusal: RPCStatus? {
    switch self {
    case .accepted, .duplicate, .unknownProducer: nil
    case .gap(let expected):
      RPCStatus(.failedPrecondition, "sequences increase by 1: the next one is \(expected)",
                details: [.errorInfo(reason: "SEQUENCE_GAP", metadata: ["expected_sequence": String(expected)])])
    case .takenOver: RPCStatus(.aborted, "another stream of this producer has been opened")
    case .otherPriority:
      .unavailable("historical batches of this producer are on their way to the database: send again",
                   retryAfter: .milliseconds(500))
    case .overloaded(let status), .refused(let status): status
    case .stopping: IngestPipeline.stopping
    }
  }
}
