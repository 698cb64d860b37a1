// Gathers the unary batches of one event loop, so that a turn of the loop is one submission to the pipeline.
internal import Contracts
internal import NIOCore
internal import Pipeline
internal import RPC
internal import Status
internal import Telemetry

/// The lanes of all loops.
struct IngestLanes: Sendable {
  private let lanes: [(loop: ObjectIdentifier, lane: NIOLoopBoundBox<IngestLane>)]

  init(group: any EventLoopGroup, pipeline: IngestPipeline) {
    lanes = group.makeIterator().map { loop in
      let lane = IngestLane(loop: loop, pipeline: pipeline)
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

/// Readings of unary calls that have no producer, from the first call until the loop's turn ends. Loop-confined.
final class IngestLane {
  /// A call whose readings are on their way.
  private struct Waiting: Sendable {
    let call: RPCCall
    let result: BatchResult
  }

  /// Readings gathered at most, one transaction's worth: until they are handed over the byte budget does not know them.
  private static let maximumReadings = 10_000

  private let loop: any EventLoop
  private let pipeline: IngestPipeline
  private var batch = ReadingBatch()
  private var deadLetters: [DeadLetter] = []
  private var waiting: [Waiting] = []

  init(loop: any EventLoop, pipeline: IngestPipeline) {
    self.loop = loop
    self.pipeline = pipeline
  }

  /// Decodes a request straight into the gathered batch. Returns its head, and the readings apart when they belong to a
  /// producer's sequence and so can't travel with others.
  func decode(_ decode: (inout ReadingBatch) throws(RPCStatus) -> IngestHead) throws(RPCStatus)
    -> (head: IngestHead, apart: ReadingBatch?) {
    let (index, textCount) = (batch.readings.count, batch.text.count)
    let head = try decode(&batch)
    guard !head.producerID.isEmpty, head.sequence > 0 else { return (head, nil) }
    let apart = batch.split(from: index)
    // Nothing that stays refers to the texts of this request.
    batch.text.removeSubrange(textCount...)
    return (head, apart)
  }

  /// Answers `call` once the readings just decoded are committed.
  func await(_ head: IngestHead, call: RPCCall) {
    if waiting.isEmpty {
      let bound = NIOLoopBound(self, eventLoop: loop)
      loop.execute { bound.value.submit() }
    }
    waiting.append(Waiting(call: call, result: head.result))
    deadLetters += head.deadLetters
    if batch.readings.count + deadLetters.count >= Self.maximumReadings { submit() }
  }

  private func submit() {
    guard !waiting.isEmpty else { return }
    let calls = waiting
    waiting = []
    waiting.reserveCapacity(calls.count)
    let submission = Submission(batch: batch, deadLetters: deadLetters) { [loop] outcome in
      loop.execute { Self.answer(calls, outcome) }
    }
    let readings = batch.readings.count
    batch = ReadingBatch()
    batch.readings.reserveCapacity(readings)
    deadLetters = []
    if let status = pipeline.submit(submission).refusal { Self.answer(calls, .failed(status)) }
  }

  private static func answer(_ calls: [Waiting], _ outcome: Submission.Outcome) {
    for waiting in calls { waiting.call.answer(waiting.result, outcome) }
  }
}

extension RPCCall {
  /// Answers a unary ingest call; `IngestResponse` and `IngestReadingResponse` have the same wire form.
  func answer(_ result: BatchResult, _ outcome: Submission.Outcome) {
    if case .failed(let status) = outcome { return finish(status) }
    let settled = result.settled(outcome)
    respond { IngestEncoder.encode(settled, field: 1, into: &$0) }
  }
}

extension Admission {
  /// What a unary call is told when its readings were not taken; nil when they were.
  var refusal: RPCStatus? {
    switch self {
    case .accepted, .unknownProducer: nil
    case .gap(let expected):
      RPCStatus(.failedPrecondition, "sequences increase by 1: the next one is \(expected)",
                details: [.errorInfo(reason: "SEQUENCE_GAP", metadata: ["expected_sequence": String(expected)])])
    case .takenOver: RPCStatus(.aborted, "another stream of this producer has been opened")
    case .conflicted:
      .unavailable("another server has moved the cursor of this producer: send again", retryAfter: .milliseconds(100))
    case .overloaded(let queued):
      .overloaded(subject: "readings waiting for the database",
                  "\(queued) readings wait for the database, more than may: send again later",
                  retryAfter: .milliseconds(500))
    case .stopping: IngestPipeline.stopping
    }
  }
}
