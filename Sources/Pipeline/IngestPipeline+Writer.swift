// The pipeline as its writer sees it: what is to be done next, and what has become of it.
internal import Dispatch
internal import HTTPCore
internal import Journal
internal import Status
internal import Synchronization
package import Telemetry

/// Is told what has been committed, in order; a batch may come again after a crash.
package protocol CommitObserver: Sendable {
  /// On the pipeline's thread. `except`: places of readings that were not stored after all. `ingestedAt`: as stored,
  /// microseconds since 1970; one for all batches of a transaction, rising from one to the next.
  func committed(_ batch: ReadingBatch, except: [Int], ingestedAt: Int64, _ priority: IngestPriority)
}

extension IngestPipeline {
  enum Work {
    case loads([Load])
    case entries([JournalQueue.Entry], IngestPriority)
    case backlog(JournalQueue.Backlog, IngestPriority)
    case end
  }

  /// What is to be done next; sleeps while there is nothing.
  func nextWork() -> Work {
    while true {
      if let work = state.withLock({ takeWork(&$0) }) { return work }
      wake.wait()
    }
  }

  private func takeWork(_ state: inout State) -> Work? {
    if !state.loads.isEmpty {
      defer { state.loads = [] }
      return .loads(state.loads)
    }
    guard let priority = nextPriority(&state) else {
      if state.isStopping, state.queues.allSatisfy(\.isEmpty) { return .end }
      state.isThreadAsleep = true
      return nil
    }
    if let backlog = state.queues[priority.rawValue].backlog, state.queues[priority.rawValue].ready.isEmpty {
      return .backlog(backlog, priority)
    }
    return .entries(state.queues[priority.rawValue].takeReady(maximumReadings: maximumReadings(priority)), priority)
  }

  private func nextPriority(_ state: inout State) -> IngestPriority? {
    let waiting = IngestPriority.allCases.filter { state.queues[$0.rawValue].hasWork }
    guard waiting.count == IngestPriority.allCases.count else { return waiting.first }
    state.turn += 1
    return state.turn.isMultiple(of: limits.backfillTurn) ? .historical : .live
  }

  func maximumReadings(_ priority: IngestPriority) -> Int {
    priority == .live ? limits.maximumTransactionReadings : limits.maximumBackfillReadings
  }

  func journal(_ priority: IngestPriority) -> Journal { journals[priority.rawValue] }

  /// What the database has of these producers, as far as we know.
  func committed(_ producerIDs: some Sequence<String>) -> [String: UInt64] {
    state.withLock { state in
      var cursors: [String: UInt64] = [:]
      for id in producerIDs { cursors[id] = state.producers.byID[id]?.committed }
      return cursors
    }
  }

  func loaded(_ loads: [Load], _ cursors: [String: UInt64]) {
    state.withLock { state in
      for load in loads { state.producers.load(load.producerID, committed: cursors[load.producerID] ?? 0) }
    }
  }

  /// Of producers whose cursors are about to expire: forgets those that nobody uses, so that they are loaded again when
  /// they come back, and returns them with those that are not known.
  package func release(_ producerIDs: [String]) -> [String] {
    state.withLock { state in producerIDs.filter { state.producers.forget($0) } }
  }

  /// At the start: what a journal has of a producer, and what the database has.
  func recovered(_ id: String, committed: UInt64, durable: UInt64, _ priority: IngestPriority) {
    state.withLock { $0.producers.recover(id, committed: committed, durable: durable, priority: priority) }
  }

  func recovered(_ priority: IngestPriority, last: JournalPosition) {
    state.withLock { $0.queues[priority.rawValue].recovered(last: last) }
  }

  /// Cursors that were not where we believed, as the database has them.
  func reloaded(_ cursors: [String: UInt64]) {
    let calls = state.withLock { state in cursors.flatMap { state.producers.reload($0.key, committed: $0.value) } }
    for call in calls { call() }
  }

  /// A record of an earlier run was read.
  func readAgain(_ record: DecodedRecord) {
    let readings = record.batch.readings.count + record.deadLetters.count
    state.withLock { $0.counters.take(readings, rejected: record.rejected) }
  }

  /// An entry whose sequence another server had stored.
  func foundStored(_ entry: JournalQueue.Entry) {
    state.withLock { $0.counters.foundStored(entry.readingCount) }
  }

  /// The database has these; `refused` are places of readings in the one entry that had such.
  func committed(_ entries: [JournalQueue.Entry], refused: [Int] = [], ingestedAt: Int64, _ priority: IngestPriority) {
    for entry in entries where !entry.batch.isEmpty {
      observer?.committed(entry.batch, except: refused, ingestedAt: ingestedAt, priority)
    }
    let calls = state.withLock { state in
      entries.flatMap { entry -> [ProducerTable.Call] in
        state.counters.commit(stored: entry.batch.readings.count - refused.count,
                              quarantined: entry.deadLetters.count + refused.count)
        return state.producers.becameCommitted(entry.producerID, entry.sequence, refused: refused)
      }
    }
    for call in calls { call() }
  }

  /// Entries of `takeReady` are done with: their memory is free, and what the journal has of them may go.
  func done(_ entries: [JournalQueue.Entry], _ priority: IngestPriority) {
    budget.release(entries.reduce(0) { $0 + $1.byteCount }, of: .held)
    release(priority)
  }

  /// The backlog is done with up to `position`; nil: all of it.
  func done(_ backlog: JournalQueue.Backlog, upTo position: JournalPosition?, _ priority: IngestPriority) {
    state.withLock { $0.queues[priority.rawValue].advance(backlog, to: position) }
    release(priority)
  }

  private func release(_ priority: IngestPriority) {
    let oldest = state.withLock { $0.queues[priority.rawValue].oldestNeeded }
    if let oldest { journals[priority.rawValue].release(before: oldest) }
  }

  var isStopping: Bool { state.withLock { $0.isStopping } }
}
