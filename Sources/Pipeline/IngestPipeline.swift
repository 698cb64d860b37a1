// Takes submissions from all loops, commits what waits in one transaction, and tells each what became of it.
//
// One thread writes; while it waits for the database, the next transaction gathers by itself, so there is no linger
// (PITFALLS.md 4). Order is kept per producer because there is one queue and one writer.
internal import Dispatch
internal import Foundation
package import HTTPCore
package import Logging
internal import PostgresStore
package import Status
internal import Synchronization
internal import Telemetry

/// The way from a validated batch to a committed transaction.
package final class IngestPipeline: Sendable {
  package struct Limits: Sendable {
    /// Readings that may wait: 1 M are about 100 MB. Beyond: unary calls get RESOURCE_EXHAUSTED, streams wait.
    package var maximumQueuedReadings = 1_000_000
    /// Readings a transaction begins with at most; one submission is never split. Beyond 10,000 the rate grows no more
    /// and the ack only gets later (ARCHITECTURE.md 3).
    package var maximumTransactionReadings = 10_000

    package init() {}
  }

  private struct State {
    /// Submissions from `queueStart` on wait; those before it are taken and are removed many at once.
    var queue: [Submission?] = []
    var queueStart = 0
    var queuedReadings = 0
    var loads: [(producerID: String, completion: @Sendable (ProducerTable.Settlement) -> Void)] = []
    var producers = ProducerTable()
    var isStopping = false
    var isThreadAsleep = false
    var storeStop: StopSignal?
  }

  package let limits: Limits
  private let budget: ByteBudget
  private let logger: Logger
  private let state = Mutex(State())
  private let wake = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)

  /// - Parameter budget: what is counted from `submit` until it is settled; the process has one.
  package init(limits: Limits = Limits(), budget: ByteBudget = ByteBudget(), logger: Logger) {
    self.limits = limits
    self.budget = budget
    self.logger = logger
  }

  /// Starts the writer thread. `makeStore` is called on it: the store lives and dies there.
  package func start(_ makeStore: @escaping @Sendable () -> any ReadingStore) {
    let thread = Thread { [self] in
      let store = makeStore()
      state.withLock { $0.storeStop = store.stopSignal }
      PipelineWriter(pipeline: self, store: store, logger: logger).run()
      ended.signal()
    }
    thread.name = "pipeline"
    thread.start()
  }

  /// Takes nothing more, writes what waits, and ends the thread. What a database that is away has not taken after
  /// `deadline` fails as UNAVAILABLE. Blocks: not for a loop or the shared pool.
  package func stop(deadline: Duration) {
    wakeThread { $0.isStopping = true }
    let end = DispatchTime.now() + .milliseconds(Int(deadline / .milliseconds(1)))
    if ended.wait(timeout: end) == .timedOut {
      state.withLock { $0.storeStop }?.signal()
      ended.wait()
    }
    // Stays signalled: a second stop returns at once.
    ended.signal()
  }

  // MARK: Handing over (any thread)

  /// Hands a submission over; for a claimed one the step of the sequence is checked in the same breath.
  package func submit(_ submission: Submission) -> Admission {
    var duplicate = false
    var admission = Admission.accepted
    wakeThread { state in
      if state.isStopping { admission = .stopping; return }
      if state.queuedReadings > limits.maximumQueuedReadings {
        admission = .overloaded(queuedReadings: state.queuedReadings)
        return
      }
      if let claim = submission.claim {
        switch state.producers.step(claim.producerID, claim.sequence, claim.owner) {
        case .next: state.producers.accept(claim.producerID, claim.sequence)
        case .duplicate: duplicate = true; return
        case .duplicateInFlight: return Self.wait(&state, claim, submission.completion)
        case .gap(let expected): admission = .gap(expected: expected); return
        case .takenOver: admission = .takenOver; return
        case .conflicted: admission = .conflicted; return
        case .unknown: admission = .unknownProducer; return
        }
      }
      state.queue.append(submission)
      state.queuedReadings += submission.readingCount
      // Before the writer can see it, and settle it.
      budget.take(submission.byteCount, of: .held)
    }
    if duplicate { submission.completion(.duplicate) }
    return admission
  }

  private static func wait(_ state: inout State, _ claim: Submission.Claim,
                           _ completion: @escaping @Sendable (Submission.Outcome) -> Void) {
    state.producers.wait(claim.producerID, .init(sequence: claim.sequence) { settlement in
      switch settlement {
      case .settled: completion(.duplicate)
      case .failed(let status): completion(.failed(status))
      }
    })
  }

  /// Makes `owner` the live stream of the producer, ends the one before, and answers with the last stored sequence once
  /// all that was on its way is settled.
  package func open(_ producerID: String, owner: any StreamOwner,
                    completion: @escaping @Sendable (Result<UInt64, RPCStatus>) -> Void) {
    load(producerID) { [self] settlement in
      if case .failed(let status) = settlement { return completion(.failure(status)) }
      let (before, settled) = state.withLock { state -> ((any StreamOwner)?, Result<UInt64, RPCStatus>?) in
        let before = state.producers.own(producerID, owner)
        guard let producer = state.producers.byID[producerID] else { return (before, .failure(Self.forgotten)) }
        guard producer.inFlight > 0 else { return (before, .success(producer.committed)) }
        state.producers.wait(producerID, .init(sequence: nil) { settlement in
          switch settlement {
          case .settled(let last): completion(.success(last))
          case .failed(let status): completion(.failure(status))
          }
        })
        return (before, nil)
      }
      before?.takenOver()
      if let settled { completion(settled) }
    }
  }

  /// Loads the cursor of a producer when it is not known yet.
  package func load(_ producerID: String, completion: @escaping @Sendable (Result<Void, RPCStatus>) -> Void) {
    load(producerID) { (settlement: ProducerTable.Settlement) in
      switch settlement {
      case .settled: completion(.success(()))
      case .failed(let status): completion(.failure(status))
      }
    }
  }

  private func load(_ producerID: String, settled: @escaping @Sendable (ProducerTable.Settlement) -> Void) {
    var known: ProducerTable.Settlement?
    wakeThread { state in
      if let producer = state.producers.byID[producerID] {
        known = .settled(lastSequence: producer.committed)
      } else if state.isStopping {
        known = .failed(Self.stopping)
      } else {
        state.loads.append((producerID, settled))
      }
    }
    if let known { settled(known) }
  }

  package static let stopping = RPCStatus.unavailable("the server is going away: reconnect and send again",
                                                      retryAfter: .seconds(1))

  /// The cursor was loaded and dropped again before it could be used.
  private static let forgotten = RPCStatus.unavailable("the producer's cursor must be loaded again: open once more",
                                                       retryAfter: .milliseconds(100))

  private func wakeThread(_ change: (inout State) -> Void) {
    let mustSignal = state.withLock { state in
      change(&state)
      let mustSignal = state.isThreadAsleep
      state.isThreadAsleep = false
      return mustSignal
    }
    if mustSignal { wake.signal() }
  }

  // MARK: For the writer

  struct Work {
    var submissions: [Submission] = []
    var loads: [(producerID: String, completion: @Sendable (ProducerTable.Settlement) -> Void)] = []
    var isEnd = false
  }

  /// Everything that waits, up to one transaction's worth; sleeps while there is nothing.
  func nextWork() -> Work {
    while true {
      if let work = state.withLock({ takeWork(&$0) }) { return work }
      wake.wait()
    }
  }

  private func takeWork(_ state: inout State) -> Work? {
    if state.queueStart == state.queue.count, state.loads.isEmpty {
      if state.isStopping { return Work(isEnd: true) }
      state.isThreadAsleep = true
      return nil
    }
    var work = Work()
    swap(&work.loads, &state.loads)
    var readings = 0
    while state.queueStart < state.queue.count, readings < limits.maximumTransactionReadings {
      if let submission = state.queue[state.queueStart].take() {
        readings += submission.readingCount
        work.submissions.append(submission)
      }
      state.queueStart += 1
    }
    if state.queueStart > state.queue.count / 2 {
      state.queue.removeSubrange(0..<state.queueStart)
      state.queueStart = 0
    }
    state.queuedReadings -= readings
    return work
  }

  func loaded(_ cursors: [(producerID: String, lastSequence: UInt64)]) {
    state.withLock { state in
      for cursor in cursors { state.producers.load(cursor.producerID, lastSequence: cursor.lastSequence) }
    }
  }

  func conflicted(_ producerIDs: [String]) {
    state.withLock { state in producerIDs.forEach { state.producers.conflict($0) } }
  }

  /// Records the outcome, then tells whoever waits for it.
  func settle(_ submissions: [Submission], _ outcome: Submission.Outcome) {
    var failure: RPCStatus?
    if case .failed(let status) = outcome { failure = status }
    let freed = state.withLock { state in
      submissions.flatMap { submission -> [@Sendable () -> Void] in
        guard let claim = submission.claim else { return [] }
        return state.producers.settle(claim.producerID, claim.sequence, failure: failure)
      }
    }
    for submission in submissions {
      submission.completion(outcome)
      budget.release(submission.byteCount, of: .held)
    }
    for call in freed { call() }
  }
}
