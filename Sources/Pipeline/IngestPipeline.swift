// Takes submissions from all loops into the journal, commits what is durable in transactions, and tells each what
// became of it.
//
// One thread writes to the database; while it waits, the next transaction gathers by itself, so there is no linger
// (PITFALLS.md 4). Order is kept per producer because a journal is in order, there is one writer, and a producer uses
// one journal at a time.
//
// It is long because all that happens under its one lock is in it.
internal import DequeModule
internal import Dispatch
internal import Foundation
package import HTTPCore
package import Journal
package import Logging
internal import PostgresStore
package import Status
internal import Synchronization
internal import Telemetry

/// The way from a validated batch to a committed transaction.
package final class IngestPipeline: Sendable {
  package struct Limits: Sendable {
    /// Bytes of decoded batches that wait for the database, for each journal: a second of the fastest ingest. Beyond:
    /// they are dropped and read from the journal again.
    package var maximumQueuedBytes = 32 << 20
    /// Readings a transaction begins with at most; one submission is never split. Beyond 10,000 the rate grows no more
    /// and the ack only gets later (ARCHITECTURE.md 3).
    package var maximumTransactionReadings = 10_000
    /// The same of backfill: a live batch never waits for more than this.
    package var maximumBackfillReadings = 2_000
    /// While live readings wait, one transaction in so many is of backfill.
    package var backfillTurn = 4

    package init() {}
  }

  struct State {
    /// By `IngestPriority.rawValue`.
    var queues: [JournalQueue]
    var loads: [Load] = []
    var producers = ProducerTable()
    var counters = IngestCounters()
    var turn = 0
    var isStopping = false
    var isThreadAsleep = false
    var storeStop: StopSignal?
  }

  typealias Load = (producerID: String, completion: @Sendable (RPCStatus?) -> Void)

  package let limits: Limits
  let coding: any JournalCoding
  let journals: [Journal]
  let budget: ByteBudget
  private let logger: Logger
  let state: Mutex<State>
  let wake = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)
  /// Told of each committed batch.
  let observer: (any CommitObserver)?

  /// - Parameters:
  ///   - live: the journal of `IngestPriority.live`; `stop` closes both.
  ///   - budget: what is counted while batches are in memory; the process has one.
  package init(live: Journal, historical: Journal, coding: any JournalCoding, observer: (any CommitObserver)? = nil,
               limits: Limits = Limits(), budget: ByteBudget = ByteBudget(), logger: Logger) {
    journals = [live, historical]
    state = Mutex(State(queues: journals.map { JournalQueue($0) }))
    self.coding = coding
    self.observer = observer
    self.limits = limits
    self.budget = budget
    self.logger = logger
  }

  /// Starts the writer thread and returns when it knows every producer that the journals have something of. Blocks, for
  /// as long as the database is away: not for a loop or the shared pool. `makeStore` is called on the thread: the store
  /// lives and dies there. Throws when a journal can't be read.
  package func start(_ makeStore: @escaping @Sendable () -> any ReadingStore) throws {
    let started = DispatchSemaphore(value: 0)
    let failure = Mutex<(any Error)?>(nil)
    let thread = Thread { [self] in
      let store = makeStore()
      state.withLock { $0.storeStop = store.stopSignal }
      let writer = PipelineWriter(pipeline: self, store: store, logger: logger)
      do {
        try writer.recover(journals)
        started.signal()
        writer.run()
      } catch {
        failure.withLock { $0 = error }
        started.signal()
      }
      abandon()
      ended.signal()
    }
    thread.name = "pipeline"
    thread.start()
    started.wait()
    if let failure = failure.withLock({ $0 }) { throw failure }
  }

  /// Takes nothing more, writes what waits, ends the thread and closes the journals. What a database that is away has
  /// not taken after `deadline` stays in the journal for the next start; who waited for its commit is told UNAVAILABLE.
  /// Blocks: not for a loop or the shared pool.
  package func stop(deadline: Duration) {
    wakeThread { $0.isStopping = true }
    let end = DispatchTime.now() + .milliseconds(Int(deadline / .milliseconds(1)))
    if ended.wait(timeout: end) == .timedOut {
      state.withLock { $0.storeStop }?.signal()
      ended.wait()
    }
    // Stays signalled: a second stop returns at once.
    ended.signal()
    for journal in journals { journal.close() }
  }

  package func journalStatus(_ priority: IngestPriority) -> JournalStatus { journals[priority.rawValue].status }

  /// Whether neither journal's disk has failed: else nothing is taken until the next start.
  package var canTake: Bool {
    journals.allSatisfy { journal in
      if case .failed = journal.status.condition { false } else { true }
    }
  }

  /// Readings by what became of them.
  package var counters: IngestCounters { state.withLock { $0.counters } }

  // MARK: Handing over (any thread)

  /// Makes known a producer that nobody else can be: one of this server's own for readings that come without one.
  package func register(ownProducer id: String) {
    state.withLock { $0.producers.load(id, committed: 0) }
  }

  /// Hands a submission over; the step of the sequence is checked in the same breath.
  package func submit(_ submission: Submission) -> Admission {
    let (claim, priority) = (submission.claim, submission.priority)
    let record: PreparedRecord
    do throws(JournalError) {
      record = try journals[priority.rawValue].prepare(JournalRecord(
        kind: submission.message.kind.rawValue, producerID: claim.producerID, sequence: claim.sequence,
        receivedAt: submission.message.receivedAt, payload: submission.message.bytes))
    } catch {
      return .refused(error.rpcStatus)
    }
    var calls: [ProducerTable.Call] = []
    let admission = state.withLock { state -> Admission in
      if state.isStopping { return .stopping }
      switch state.producers.step(claim, priority) {
      case .next: return append(submission, record, &state)
      case .duplicate(let level):
        state.counters.repeated(submission.readingCount + Int(submission.rejected))
        calls = Self.repeated(submission, level, &state)
        return .duplicate
      case .gap(let expected): return .gap(expected: expected)
      case .takenOver: return .takenOver
      case .otherPriority: return .otherPriority
      case .unknown: return .unknownProducer
      }
    }
    for call in calls { call() }
    return admission
  }

  /// Journal and queue get their batches in the same order: both under the lock.
  private func append(_ submission: Submission, _ record: borrowing PreparedRecord, _ state: inout State) -> Admission {
    let (claim, index) = (submission.claim, submission.priority.rawValue)
    do throws(JournalError) {
      let position = try journals[index].append(record) { [self] in journalled(submission.priority, $0) }
      let entry = JournalQueue.Entry(position: position, producerID: claim.producerID, sequence: claim.sequence,
                                     receivedAt: submission.message.receivedAt, batch: submission.batch,
                                     deadLetters: submission.deadLetters)
      let messageBytes = submission.message.bytes.count
      budget.take(entry.byteCount + messageBytes, of: .held)
      state.queues[index].appended.append((entry, messageBytes))
      state.producers.accept(claim.producerID, claim.sequence, submission.priority)
      state.counters.take(entry.readingCount, rejected: submission.rejected)
      for answer in submission.answers {
        state.producers.wait(claim.producerID, .init(sequence: claim.sequence, level: answer.level) { settlement in
          switch settlement {
          case .reached(let refused): answer.completion(.reached(answer.level, refused: refused))
          case .failed(let status): answer.completion(.failed(status))
          }
        })
      }
      return .accepted
    } catch {
      return error.isPassing ? .overloaded(error.rpcStatus) : .refused(error.rpcStatus)
    }
  }

  /// Answers at once where the first one has reached the level; the others wait with it.
  private static func repeated(_ submission: Submission, _ level: AckLevel,
                               _ state: inout State) -> [ProducerTable.Call] {
    let claim = submission.claim
    return submission.answers.compactMap { answer -> ProducerTable.Call? in
      if answer.level <= level { return { answer.completion(.duplicate(level)) } }
      state.producers.wait(claim.producerID, .init(sequence: claim.sequence, level: answer.level) { settlement in
        switch settlement {
        case .reached: answer.completion(.duplicate(answer.level))
        case .failed(let status): answer.completion(.failed(status))
        }
      })
      return nil
    }
  }

  /// Called by a journal's thread, in the order of its appends.
  private func journalled(_ priority: IngestPriority, _ result: Result<JournalPosition, JournalError>) {
    var calls: [ProducerTable.Call] = []
    var released = 0
    wakeThread { state in
      guard let (entry, messageBytes) = state.queues[priority.rawValue].appended.popFirst() else {
        preconditionFailure("a record that was appended waits here")
      }
      released = messageBytes
      switch result {
      case .success:
        calls = state.producers.becameDurable(entry.producerID, entry.sequence)
        let maximum = limits.maximumQueuedBytes
        if !state.queues[priority.rawValue].becameDurable(entry, maximumBytes: maximum) { released += entry.byteCount }
      case .failure(let error):
        calls = state.producers.lost(entry.producerID, entry.sequence, error.rpcStatus)
        state.counters.fail(entry.readingCount)
        released += entry.byteCount
      }
    }
    budget.release(released, of: .held)
    for call in calls { call() }
  }

  /// Makes `owner` the live stream of the producer, ends the one before, and answers with the last durable sequence
  /// once all that was on its way to the disk is there; to the database, when it went through the other journal.
  package func open(_ producerID: String, _ priority: IngestPriority = .live, owner: any StreamOwner,
                    completion: @escaping @Sendable (Result<UInt64, RPCStatus>) -> Void) {
    load(producerID) { [self] failure in
      if let failure { return completion(.failure(failure)) }
      let (before, known) = state.withLock { state -> ((any StreamOwner)?, Result<UInt64, RPCStatus>?) in
        let before = state.producers.own(producerID, owner)
        guard let producer = state.producers.byID[producerID] else { return (before, .failure(Self.forgotten)) }
        let last = producer.accepted
        let level: AckLevel = producer.priority == priority ? .durable : .committed
        if last == 0 || producer.level(of: last).map({ $0 >= level }) == true {
          return (before, .success(last))
        }
        state.producers.wait(producerID, .init(sequence: last, level: level) { settlement in
          switch settlement {
          case .reached: completion(.success(last))
          case .failed(let status): completion(.failure(status))
          }
        })
        return (before, nil)
      }
      before?.takenOver()
      if let known { completion(known) }
    }
  }

  /// Loads the cursor of a producer when it is not known yet; nil = it is.
  package func load(_ producerID: String, completion: @escaping @Sendable (RPCStatus?) -> Void) {
    var isKnown = false
    var failure: RPCStatus?
    wakeThread { state in
      if state.producers.byID[producerID] != nil {
        isKnown = true
      } else if state.isStopping {
        failure = Self.stopping
      } else {
        state.loads.append((producerID, completion))
      }
    }
    if isKnown || failure != nil { completion(failure) }
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

  /// The thread has ended: nobody is answered by it any more.
  private func abandon() {
    let (calls, loads) = state.withLock { state in
      defer { state.loads = [] }
      return (state.producers.failAll(Self.stopping), state.loads)
    }
    for call in calls { call() }
    for load in loads { load.completion(Self.stopping) }
  }
}

extension Submission {
  /// What is stored or kept.
  var readingCount: Int { batch.readings.count + deadLetters.count }
}

extension JournalError {
  /// Whether the same may be taken later.
  fileprivate var isPassing: Bool {
    switch self {
    case .full, .diskFull, .busy: true
    default: false
    }
  }
}
