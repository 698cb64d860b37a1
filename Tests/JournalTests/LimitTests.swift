// The limits that depend on the disk: what waits for it, and how full it may be.
import Journal
import Synchronization
import Testing

@Suite struct LimitTests {
  @Test func moreThanMayWaitIsRefusedAtOnceAndTheRestIsWritten() throws {
    let folder = try JournalFolder()
    let disk = HeldDisk()
    var limits = JournalLimits.small
    limits.maximumWaitingBytes = 10 * 1056
    let journal = try folder.open(limits, disk: disk)
    disk.hold()
    defer { disk.letGo() }
    let durable = Mutex(0)
    for sequence in 1...10 as ClosedRange<UInt64> {
      try journal.append(.sample(sequence, byteCount: 1000)) { _ in durable.withLock { $0 += 1 } }
    }
    #expect(throws: JournalError.busy(waiting: 10560, limit: 10560)) {
      try journal.append(.sample(11)) { _ in }
    }
    #expect(journal.status.waitingRecords == 10)
    #expect(journal.status.waitingBytes == 10560)
    #expect(durable.withLock { $0 } == 0)
    disk.letGo()
    try eventually { (try? journal.appendAndWait(.sample(11))) != nil }
    #expect(durable.withLock { $0 } == 10)
    #expect(try journal.all().map(\.sequence) == Array(1...11))
    #expect(journal.status.waitingBytes == 0)
  }

  @Test func oneRecordIsTakenHoweverLargeWhenNothingWaits() throws {
    let folder = try JournalFolder()
    var limits = JournalLimits.small
    limits.maximumWaitingBytes = 1
    let journal = try folder.open(limits)
    for sequence in 1...3 as ClosedRange<UInt64> { try journal.appendAndWait(.sample(sequence, byteCount: 50_000)) }
    #expect(try journal.all().count == 3)
  }

  /// It starts, for there may be records to be read; it takes none; it makes no file.
  @Test func aDiskThatIsFullerThanItMayBeIsSaidAndWhatIsThereCanBeRead() throws {
    let folder = try JournalFolder()
    let first = try folder.open()
    try first.appendAndWait(.sample(1))
    first.close()
    // What was made ahead would do for one more segment.
    for name in try folder.files("spare") { try folder.remove(name) }
    var limits = JournalLimits.small
    limits.maximumDiskShare = 1e-9
    let journal = try folder.open(limits)
    #expect(try journal.all() == [.sample(1)])
    var taken: UInt64 = 1
    let error = #expect(throws: JournalError.self) {
      while true {
        try journal.appendAndWait(.sample(taken + 1, byteCount: 1000))
        taken += 1
      }
    }
    guard case .diskFull(let reason)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(reason.contains("is to stay free"))
    #expect(taken < 60)
    #expect(journal.status.condition == .full(.diskFull(reason: reason)))
    #expect(try folder.files("spare") == [])
    #expect(try journal.all().count == Int(taken))
  }
}
