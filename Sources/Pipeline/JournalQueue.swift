// What stands in one journal and is not in the database yet: as decoded batches while memory lasts, then as places to
// read again.
internal import DequeModule
internal import Journal
internal import PostgresStore
internal import Telemetry

/// `IngestPipeline` guards it with its lock.
struct JournalQueue {
  /// A batch on its way to the database.
  struct Entry: Sendable {
    var position: JournalPosition
    var producerID: String
    var sequence: UInt64
    /// Microseconds since 1970.
    var receivedAt: Int64
    var batch: ReadingBatch
    var deadLetters: [DeadLetter]

    /// What it counts for in a transaction: everything that must be written.
    var readingCount: Int { batch.readings.count + deadLetters.count }

    /// What it counts for in the byte budget: rows, texts, dead letters with their bytes, and the rest by estimate.
    var byteCount: Int {
      batch.readings.count * MemoryLayout<Reading>.stride + batch.text.count
        + deadLetters.reduce(0) { $0 + MemoryLayout<DeadLetter>.stride + $1.original.count } + 256
    }
  }

  /// Records that are to be read again, in the order of the journal.
  struct Backlog: Sendable {
    /// Nil: from the oldest on. Else what stands there was read already, unless `isFromIncluded`.
    var from: JournalPosition?
    var isFromIncluded: Bool
    /// Of the last record.
    var last: JournalPosition
    /// Records up to here are of an earlier run.
    var recoveredTo: JournalPosition?
  }

  let journal: Journal
  /// Not durable yet, in order, each with the bytes of its message.
  var appended = Deque<(entry: Entry, messageBytes: Int)>()
  /// Durable, decoded, in order; older than the backlog.
  private(set) var ready = Deque<Entry>()
  private(set) var readyBytes = 0
  /// While there is one all that becomes durable joins it.
  private(set) var backlog: Backlog?

  init(_ journal: Journal) { self.journal = journal }

  var hasWork: Bool { !ready.isEmpty || backlog != nil }
  var isEmpty: Bool { appended.isEmpty && !hasWork }

  /// Whether the decoded form is kept.
  mutating func becameDurable(_ entry: Entry, maximumBytes: Int) -> Bool {
    let byteCount = entry.byteCount
    if backlog == nil, ready.isEmpty || readyBytes + byteCount <= maximumBytes {
      ready.append(entry)
      readyBytes += byteCount
      return true
    }
    if backlog == nil {
      backlog = Backlog(from: entry.position, isFromIncluded: true, last: entry.position)
    } else {
      backlog?.last = entry.position
    }
    return false
  }

  /// At the start: everything up to `last` is of an earlier run.
  mutating func recovered(last: JournalPosition) {
    backlog = Backlog(from: nil, isFromIncluded: true, last: last, recoveredTo: last)
  }

  mutating func takeReady(maximumReadings: Int) -> [Entry] {
    var taken: [Entry] = []
    var readings = 0
    while readings < maximumReadings, let entry = ready.popFirst() {
      readings += entry.readingCount
      readyBytes -= entry.byteCount
      taken.append(entry)
    }
    return taken
  }

  /// All of `backlog` up to `position` is in the database; nil: all that `backlog` was.
  mutating func advance(_ read: Backlog, to position: JournalPosition?) {
    if position == nil, backlog?.last == read.last {
      backlog = nil
    } else {
      backlog?.from = position ?? read.last
      backlog?.isFromIncluded = false
    }
  }

  /// Of the oldest record that is still needed.
  var oldestNeeded: JournalPosition? {
    if let first = ready.first { return first.position }
    if let backlog { return backlog.from }
    return appended.first?.entry.position ?? journal.status.end
  }
}
