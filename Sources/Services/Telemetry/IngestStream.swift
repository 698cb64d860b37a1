// TelemetryService.IngestStream: the batches of one producer, in order, each exactly once.
// This file is long because opening, taking, answering and ending share the state of one stream.
internal import Contracts
internal import HTTPCore
internal import NIOCore
internal import Pipeline
internal import Protobuf
package import RPC
internal import Status
internal import Telemetry

/// Limits of an ingest stream; each has a row in ARCHITECTURE.md 5.
package struct IngestStreamLimits: Sendable {
  /// Batches of a stream that wait for their level. Beyond: the stream is not read and its window closes.
  package var maximumPendingBatches = 64
  /// The same of a historical stream: it waits rather than live ones.
  package var maximumPendingHistoricalBatches = 4
  /// Readings of a stream that wait for their level: about twenty transactions. Beyond: the same.
  package var maximumPendingReadings = 200_000
  /// Bytes of results that the client has not read. Beyond: the same, until it has.
  package var maximumUnreadBytes = 64 << 10
  /// How long a stream may be silent before the server says that it is there: half of the 60 s after which common
  /// balancers cut a connection without data.
  package var heartbeatInterval = Duration.seconds(30)
  /// What a client is asked to wait before it comes back after a drain: a restart takes about a second.
  package var reconnectAfter = Duration.seconds(1)
  /// How soon a batch that found the journal full is handed over again.
  package var retryInterval = Duration.milliseconds(50)

  package init() {}
}

extension TelemetryService {
  package func ingestStream(call: RPCCall) -> any RPCMessageReceiver {
    IngestStreamReceiver(call: call, pipeline: pipeline, decoder: decoder, limits: streamLimits, latencies: latencies)
  }
}

/// One open ingest stream. Lives on its call's loop.
final class IngestStreamReceiver: RPCMessageReceiver, StreamOwner, @unchecked Sendable {
  // @unchecked because it is confined to its call's loop; `takenOver` and completions hop there first.

  private enum State {
    case waitingForOpen
    /// The cursor is being loaded; nothing is read meanwhile.
    case opening
    case open
    /// `Drain` has been sent: nothing more is taken, results still go out.
    case draining
    case ended
  }

  /// A batch whose result has not been sent; results leave in order, so an early one waits here.
  private struct Pending {
    var result: BatchResult
    let began: ContinuousClock.Instant
    var outcome: Submission.Outcome?
  }

  private let call: RPCCall
  private let pipeline: IngestPipeline
  private let decoder: IngestDecoder
  private let limits: IngestStreamLimits
  private let latencies: AckLatencies
  private var state = State.waitingForOpen
  private var producerID = ""
  private var level = AckLevel.durable
  private var priority = IngestPriority.live
  /// The last sequence whose result has been sent, or with which the stream was opened.
  private var lastSequence: UInt64 = 0
  private var pending: [Pending] = []
  private var pendingReadings = 0
  /// A batch that found the journal full. Nothing is read while there is one, or the next would overtake it.
  private var held: Submission?
  /// Results sent so far: the place of a pending batch is its ordinal less this.
  private var sentResults = 0
  private var heartbeat: RepeatedTask?
  private var isSilent = true

  init(call: RPCCall, pipeline: IngestPipeline, decoder: IngestDecoder, limits: IngestStreamLimits,
       latencies: AckLatencies) {
    self.call = call
    self.pipeline = pipeline
    self.decoder = decoder
    self.limits = limits
    self.latencies = latencies
  }

  /// How far the stream has come, for operators.
  var progress: ESPV1.IngestProgress {
    var progress = ESPV1.IngestProgress()
    progress.producerID = producerID
    progress.ackedSequence = lastSequence
    progress.pendingBatches = UInt32(clamping: pending.count)
    progress.pendingReadings = UInt32(clamping: pendingReadings)
    return progress
  }

  // MARK: RPCMessageReceiver

  func received(_ message: Span<UInt8>) {
    do throws(RPCStatus) {
      var batch = ReadingBatch()
      let now = WallClock.now
      switch try decoder.decodeStream(message, now: now, into: &batch) {
      case .open(let producerID, let level, let isHistorical):
        try open(producerID, level.orDefault, isHistorical ? .historical : .live)
      case .batch(let head): try take(head, batch, .init(.streamRequest, [UInt8](copying: message), receivedAt: now))
      case .empty: throw RPCStatus(.invalidArgument, "a message of the stream carries neither open nor batch")
      }
    } catch {
      end(error)
    }
  }

  func receivedEnd() {
    if case .waitingForOpen = state { return end(.ok) }
    state = .draining
    endIfDone()
  }

  func cancelled() { end(nil) }

  func drained() { resumeIfThereIsRoom() }

  func serverIsDraining() {
    switch state {
    case .open:
      state = .draining
      call.pause()
      var message = ESPV1.IngestStreamResponse()
      var drain = ESPV1.Drain()
      drain.lastSequence = lastSequence
      drain.reconnectAfter = GoogleProtobuf.Duration(limits.reconnectAfter)
      message.message = .drain(drain)
      send(message)
      endIfDone()
    case .waitingForOpen, .opening: end(IngestPipeline.stopping)
    case .draining, .ended: break
    }
  }

  // MARK: StreamOwner

  func takenOver() {
    call.eventLoop.execute { [self] in
      end(RPCStatus(.aborted, "another stream of producer \(producerID) has been opened; this one ends",
                    details: [.errorInfo(reason: "TAKEN_OVER")]))
    }
  }

  // MARK: Opening

  private func open(_ producerID: String, _ level: AckLevel, _ priority: IngestPriority) throws(RPCStatus) {
    guard case .waitingForOpen = state else {
      throw RPCStatus(.invalidArgument, "open comes once, as the first message")
    }
    (self.producerID, self.level, self.priority) = (producerID, level, priority)
    state = .opening
    call.pause()
    pipeline.open(producerID, priority, owner: self) { [self] opened in
      call.eventLoop.execute { self.opened(opened) }
    }
  }

  private func opened(_ opened: Result<UInt64, RPCStatus>) {
    guard case .opening = state else { return }
    switch opened {
    case .failure(let status): end(status)
    case .success(let last):
      state = .open
      lastSequence = last
      var answer = ESPV1.StreamOpened()
      answer.lastSequence = last
      answer.maxBatchReadings = UInt32(decoder.maximumBatchReadings)
      answer.maxMessageBytes = UInt32(call.maximumMessageBytes)
      answer.heartbeatInterval = GoogleProtobuf.Duration(limits.heartbeatInterval)
      var message = ESPV1.IngestStreamResponse()
      message.message = .opened(answer)
      send(message)
      startHeartbeat()
      call.resume()
    }
  }

  // MARK: Batches

  private func take(_ head: IngestHead, _ batch: ReadingBatch, _ message: Submission.Message) throws(RPCStatus) {
    switch state {
    case .open: break
    case .waitingForOpen, .opening: throw RPCStatus(.invalidArgument, "the first message of a stream is open")
    case .draining, .ended: return
    }
    guard head.sequence > 0 else { throw .invalidField("batch.sequence", "is 0; sequences are 1, 2, 3 ...") }
    let ordinal = sentResults + pending.count
    pending.append(Pending(result: head.result, began: .now))
    pendingReadings += Int(head.result.received)
    let answer = Submission.Answer(level) { [self] outcome in
      call.eventLoop.execute { self.settle(ordinal, outcome) }
    }
    hand(over: Submission(
      claim: .init(producerID: producerID, sequence: head.sequence, owner: self), priority: priority, message: message,
      batch: batch, deadLetters: head.deadLetters, rejected: head.result.rejected,
      answers: level == .accepted ? [] : [answer]), ordinal)
    if pending.count >= maximumPendingBatches || pendingReadings >= limits.maximumPendingReadings
      || call.bufferedByteCount > limits.maximumUnreadBytes {
      call.pause()
    }
  }

  private var maximumPendingBatches: Int {
    priority == .live ? limits.maximumPendingBatches : limits.maximumPendingHistoricalBatches
  }

  private func hand(over submission: Submission, _ ordinal: Int) {
    let admission = pipeline.submit(submission)
    switch admission {
    case .accepted: if level == .accepted { settle(ordinal, .reached(.accepted, refused: [])) }
    case .duplicate: if level == .accepted { settle(ordinal, .duplicate(.accepted)) }
    case .overloaded, .otherPriority:
      // A stream is never refused for load: it is not read until there is room again.
      held = submission
      call.pause()
      call.eventLoop.scheduleTask(in: .nanoseconds(limits.retryInterval.nanoseconds)) { [self] in
        held = nil
        guard call.isOpen else { return }
        hand(over: submission, ordinal)
        resumeIfThereIsRoom()
      }
    case .unknownProducer:
      end(.unavailable("the cursor of producer \(producerID) is not known here any more: open the stream again",
                       retryAfter: .milliseconds(100)))
    case .gap, .takenOver, .refused, .stopping: end(admission.refusal)
    }
  }

  private func settle(_ ordinal: Int, _ outcome: Submission.Outcome) {
    guard call.isOpen else { return }
    pending[ordinal - sentResults].outcome = outcome
    var settled = 0
    while settled < pending.count, let outcome = pending[settled].outcome {
      let result: BatchResult
      do throws(RPCStatus) {
        result = try pending[settled].result.settled(outcome)
      } catch {
        return end(error)
      }
      if case .reached(let level, _) = outcome { latencies.record(level, since: pending[settled].began) }
      pendingReadings -= Int(result.received)
      lastSequence = max(lastSequence, result.sequence)
      isSilent = false
      call.send { IngestEncoder.encode(result, field: 2, into: &$0) }
      settled += 1
    }
    pending.removeFirst(settled)
    sentResults += settled
    resumeIfThereIsRoom()
    endIfDone()
  }

  private func resumeIfThereIsRoom() {
    guard case .open = state, held == nil, pending.count <= maximumPendingBatches / 2,
          pendingReadings <= limits.maximumPendingReadings / 2,
          call.bufferedByteCount <= limits.maximumUnreadBytes else { return }
    call.resume()
  }

  // MARK: Ending

  private func endIfDone() {
    if case .draining = state, pending.isEmpty { end(.ok) }
  }

  /// Ends the stream; batches on their way are still committed. nil: the client has gone, there is nobody to tell.
  private func end(_ status: RPCStatus?) {
    state = .ended
    heartbeat?.cancel()
    heartbeat = nil
    if let status { call.finish(status) }
  }

  // MARK: Heartbeats

  private func startHeartbeat() {
    let interval = TimeAmount.nanoseconds(limits.heartbeatInterval.nanoseconds)
    heartbeat = call.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] _ in
      self?.beat()
    }
  }

  private func beat() {
    defer { isSilent = true }
    guard isSilent else { return }
    var heartbeat = ESPV1.Heartbeat()
    heartbeat.serverTime = GoogleProtobuf.Timestamp(microseconds: WallClock.now)
    var message = ESPV1.IngestStreamResponse()
    message.message = .heartbeat(heartbeat)
    send(message)
  }

  private func send(_ message: ESPV1.IngestStreamResponse) {
    call.send { message.serialize(into: &$0) }
  }
}
