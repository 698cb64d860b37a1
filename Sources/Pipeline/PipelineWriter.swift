// The thread behind the pipeline: takes what waits, makes one transaction of it, sees it through, tells the outcome.
internal import Foundation
internal import Journal
internal import Logging
internal import PostgresStore
internal import Status
internal import Telemetry

/// Lives on the pipeline's thread.
final class PipelineWriter {
  private typealias Entry = JournalQueue.Entry

  /// How often a journal that can't be read is tried again.
  private static let retry = 1.0

  private let pipeline: IngestPipeline
  private let store: any ReadingStore
  private let logger: Logger

  init(pipeline: IngestPipeline, store: any ReadingStore, logger: Logger) {
    self.pipeline = pipeline
    self.store = store
    self.logger = logger
  }

  /// Returns when the pipeline stops and nothing waits any more, or the store was stopped.
  func run() {
    while true {
      do throws(WriteFailure) {
        switch pipeline.nextWork() {
        case .end: return
        case .loads(let loads): try load(loads)
        case .entries(let entries, let priority):
          try write(entries, priority)
          pipeline.done(entries, priority)
        case .backlog(let backlog, let priority): try write(backlog, priority)
        }
      } catch {
        // `.stopped`; all else is dealt with where it happens. What waits is in the journal.
        logger.notice("the pipeline ends before all is in the database; the next start goes on from the journal")
        return
      }
    }
  }

  private func load(_ loads: [IngestPipeline.Load]) throws(WriteFailure) {
    do throws(WriteFailure) {
      pipeline.loaded(loads, try store.cursors(for: loads.map(\.producerID)))
      for load in loads { load.completion(nil) }
    } catch {
      for load in loads { load.completion(IngestPipeline.stopping) }
      throw error
    }
  }

  // MARK: The journal

  /// What an earlier run left: producers get their places, the records become the backlog.
  func recover(_ journals: [Journal]) throws {
    for priority in IngestPriority.allCases {
      var last: [String: UInt64] = [:]
      var end: JournalPosition?
      try journals[priority.rawValue].forEachRecord { position, record in
        last[record.producerID] = max(last[record.producerID] ?? 0, record.sequence)
        end = position
        return true
      }
      guard let end else { continue }
      let cursors = try store.cursors(for: Array(last.keys))
      for (id, sequence) in last {
        pipeline.recovered(id, committed: cursors[id] ?? 0, durable: sequence, priority)
      }
      pipeline.recovered(priority, last: end)
    }
  }

  private func write(_ backlog: JournalQueue.Backlog, _ priority: IngestPriority) throws(WriteFailure) {
    var entries: [Entry] = []
    var readTo: JournalPosition?
    do {
      readTo = try read(backlog, priority, into: &entries)
    } catch {
      // Its data is not lost as long as we don't pass it over.
      logger.critical("the journal cannot be read; trying again", metadata: ["error": "\(error)"])
      if pipeline.isStopping { throw .stopped }
      return Thread.sleep(forTimeInterval: Self.retry)
    }
    if !entries.isEmpty { try write(entries, priority) }
    pipeline.done(backlog, upTo: readTo, priority)
  }

  /// One transaction's worth. Returns where to go on; nil: that was all.
  private func read(_ backlog: JournalQueue.Backlog, _ priority: IngestPriority,
                    into entries: inout [Entry]) throws -> JournalPosition? {
    let maximum = pipeline.maximumReadings(priority)
    var readings = 0
    var readTo = backlog.from
    var isAll = true
    var found: [Entry] = []
    try pipeline.journal(priority).forEachRecord(from: backlog.from) { position, record in
      if position == backlog.from, !backlog.isFromIncluded { return true }
      if position > backlog.last { return false }
      guard readings < maximum else {
        isAll = false
        return false
      }
      readTo = position
      let isRecovered = backlog.recoveredTo.map { position <= $0 } ?? false
      let isStored = record.sequence <= pipeline.committed([record.producerID])[record.producerID] ?? 0
      if isStored, isRecovered { return true }
      let decoded = pipeline.coding.decode(record)
      if isRecovered { pipeline.readAgain(decoded) }
      let entry = Entry(position: position, producerID: record.producerID, sequence: record.sequence,
                        receivedAt: record.receivedAt, batch: decoded.batch, deadLetters: decoded.deadLetters)
      readings += max(1, entry.readingCount)
      found.append(entry)
      return true
    }
    entries = found
    return isAll ? nil : readTo
  }

  // MARK: Transactions

  private func write(_ entries: [Entry], _ priority: IngestPriority) throws(WriteFailure) {
    var entries = entries
    while true {
      entries = stillToStore(entries)
      guard !entries.isEmpty else { return }
      do throws(WriteFailure) {
        let ingestedAt = try store.commit(transaction(entries))
        return pipeline.committed(entries, ingestedAt: ingestedAt, priority)
      } catch {
        switch error {
        case .stopped: throw error
        case .cursorConflict(let producerIDs): try reload(producerIDs)
        case .data where entries.count > 1:
          // One of them is at fault: halves, so that the others are stored with each other.
          let middle = entries.count / 2
          try write(Array(entries[..<middle]), priority)
          return try write(Array(entries[middle...]), priority)
        case .data(let reason): return try quarantine(entries[0], reason, priority)
        }
      }
    }
  }

  /// Without those that the database has: another server stored them, or an attempt of ours whose end we never saw.
  private func stillToStore(_ entries: [Entry]) -> [Entry] {
    let cursors = pipeline.committed(Set(entries.map(\.producerID)))
    return entries.filter { entry in
      guard entry.sequence <= cursors[entry.producerID] ?? 0 else { return true }
      pipeline.foundStored(entry)
      return false
    }
  }

  private func reload(_ producerIDs: [String]) throws(WriteFailure) {
    logger.error("another server has moved cursors of producers; what it has stored is not stored again",
                 metadata: ["producers": "\(producerIDs.prefix(10).joined(separator: " "))"])
    let cursors = try store.cursors(for: producerIDs)
    pipeline.reloaded(Dictionary(uniqueKeysWithValues: producerIDs.map { ($0, cursors[$0] ?? 0) }))
  }

  /// The database refuses readings that validation let pass: they become dead letters, the others are stored.
  private func quarantine(_ entry: Entry, _ reason: PostgresError, _ priority: IngestPriority) throws(WriteFailure) {
    var search = PoisonSearch(store)
    try search.search(entry.batch)
    var refused = search.refused
    var said = search.reason ?? reason
    while true {
      if refused.isEmpty { refused = Array(entry.batch.readings.indices) }
      logger.error("the database refused readings; they are dead letters now", metadata: [
        "producer": "\(entry.producerID)", "sequence": "\(entry.sequence)", "readings": "\(refused.count)",
        "reason": "\(said)",
      ])
      do throws(WriteFailure) {
        let ingestedAt = try store.commit(transaction([without(refused, entry)]))
        return pipeline.committed([entry], refused: refused, ingestedAt: ingestedAt, priority)
      } catch {
        switch error {
        case .stopped: throw error
        case .cursorConflict(let producerIDs):
          try reload(producerIDs)
          if stillToStore([entry]).isEmpty { return }
        case .data(let error):
          // Together they are refused still, though each alone was not: none of them is stored.
          guard refused.count < entry.batch.readings.count else { return drop(entry, error, priority) }
          (refused, said) = ([], error)
        }
      }
    }
  }

  /// Not even its dead letters can be stored. Never seen; what is left of the batch is the line in the log.
  private func drop(_ entry: Entry, _ error: PostgresError, _ priority: IngestPriority) {
    logger.critical("a batch cannot be stored, nor its dead letters: it is lost", metadata: [
      "producer": "\(entry.producerID)", "sequence": "\(entry.sequence)", "reason": "\(error)",
    ])
    pipeline.committed([entry], refused: Array(entry.batch.readings.indices), ingestedAt: 0, priority)
  }

  private func without(_ refused: [Int], _ entry: Entry) -> Entry {
    var rest = entry
    let places = Set(refused)
    rest.batch.readings = entry.batch.readings.indices.filter { !places.contains($0) }.map { entry.batch.readings[$0] }
    rest.deadLetters += refused.map { place in
      let reading = entry.batch.readings[place]
      return DeadLetter(reason: .storeFailed, field: "", deviceID: entry.batch.string(reading.deviceID),
                        readingTimestamp: reading.timestamp,
                        original: pipeline.coding.original(of: reading, in: entry.batch))
    }
    return rest
  }

  /// One transaction of all: the steps of one producer become one move of its cursor.
  private func transaction(_ entries: [Entry]) -> WriteTransaction {
    let cursors = pipeline.committed(Set(entries.map(\.producerID)))
    var transaction = WriteTransaction()
    var moves: [String: Int] = [:]
    for entry in entries {
      if !entry.batch.isEmpty { transaction.batches.append(entry.batch) }
      transaction.deadLetters += entry.deadLetters.map {
        RefusedReading($0, producerID: Self.shownProducer(entry.producerID),
                       sequence: Self.isOwn(entry.producerID) ? 0 : entry.sequence, receivedAt: entry.receivedAt)
      }
      if let index = moves[entry.producerID] {
        let from = transaction.cursors[index].from
        transaction.cursors[index] = CursorMove(producerID: entry.producerID, from: from, to: entry.sequence)
      } else {
        moves[entry.producerID] = transaction.cursors.count
        // Not `sequence - 1`: records that a damaged journal lost leave a gap, which is passed over.
        transaction.cursors.append(CursorMove(producerID: entry.producerID, from: cursors[entry.producerID] ?? 0,
                                              to: entry.sequence))
      }
    }
    return transaction
  }

  /// "~" is not allowed in a client's producer id: it is the server's own, for readings that came without one.
  private static func isOwn(_ producerID: String) -> Bool { producerID.hasPrefix("~") }
  private static func shownProducer(_ producerID: String) -> String { isOwn(producerID) ? "" : producerID }
}
