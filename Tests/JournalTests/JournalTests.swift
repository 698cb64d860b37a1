// What goes in comes out: order, positions, segments, release, limits, two at once.
import Foundation
import Journal
import Logging
import Status
import Synchronization
import Testing

@Suite struct JournalTests {
  @Test func recordsComeBackAsTheyWereInOrder() throws {
    let folder = try JournalFolder()
    let records = (1...50).map { JournalRecord.sample(UInt64($0), byteCount: $0 * 13 % 97) }
    let journal = try folder.open()
    let positions = try journal.appendAndWait(records).map { try $0.get() }
    #expect(positions == positions.sorted())
    #expect(try journal.all() == records)
    #expect(try journal.read(at: positions[17]) == records[17])
    #expect(try journal.all(from: positions[40]) == Array(records[40...]))
    journal.close()
    let again = try folder.open()
    #expect(try again.all() == records)
    #expect(again.status.damages == [])
    #expect(try again.appendAndWait(.sample(51)) > positions[49])
    #expect(try again.all() == records + [.sample(51)])
  }

  @Test func aWalkStopsWhenItIsToldToAndPassesErrorsOn() throws {
    struct Enough: Error {}
    let folder = try JournalFolder()
    let journal = try folder.open()
    _ = try journal.appendAndWait((1...5).map { .sample($0) })
    var seen = 0
    try journal.forEachRecord { _, _ in
      seen += 1
      return seen < 3
    }
    #expect(seen == 3)
    #expect(throws: Enough.self) { try journal.forEachRecord { _, _ in throw Enough() } }
  }

  @Test func anEmptyPayloadAndEmptyNamesAreRecordsToo() throws {
    let folder = try JournalFolder()
    let record = JournalRecord(kind: 255, producerID: "", sequence: .max, receivedAt: .min, flags: 255, payload: [])
    let journal = try folder.open()
    try journal.appendAndWait(record)
    #expect(try journal.all() == [record])
  }

  @Test func segmentsFollowOneAnotherAndAreUsedAgainAfterRelease() throws {
    let folder = try JournalFolder()
    let journal = try folder.open()
    let records = (1...400).map { JournalRecord.sample(UInt64($0), byteCount: 1000) }
    let positions = try journal.appendAndWait(records).map { try $0.get() }
    #expect(journal.status.end.segment == 7)
    #expect(try journal.all() == records)
    journal.release(before: positions[200])
    let kept = positions[200].segment
    try eventually { journal.status.oldest.segment == kept }
    #expect(try journal.all().last == records.last)
    let first = positions.firstIndex { $0.segment == kept } ?? 0
    #expect(try journal.all() == Array(records[first...]))
    journal.close()
    #expect(try folder.files("segment").count == 7 - Int(kept) + 1)
    #expect(try !folder.files("spare").isEmpty)
    #expect(try folder.open().all() == Array(records[first...]))
  }

  @Test func releasingTheEndLetsGoOfAllButTheLastSegment() throws {
    let folder = try JournalFolder()
    let journal = try folder.open()
    _ = try journal.appendAndWait((1...400).map { .sample($0, byteCount: 1000) })
    let end = journal.status.end
    journal.release(before: end)
    try eventually { journal.status.oldest.segment == end.segment }
    #expect(journal.status.condition == .ok)
  }

  @Test func whatIsBeingReadIsNotTakenBack() throws {
    let folder = try JournalFolder()
    let journal = try folder.open()
    let records = (1...400).map { JournalRecord.sample(UInt64($0), byteCount: 1000) }
    _ = try journal.appendAndWait(records)
    var seen: [JournalRecord] = []
    try journal.forEachRecord { _, record in
      if seen.isEmpty {
        journal.release(before: journal.status.end)
        _ = try journal.appendAndWait((401...600).map { .sample($0, byteCount: 1000) })
      }
      seen.append(record)
      return true
    }
    #expect(seen == records)
    try eventually { journal.status.oldest.segment >= 7 }
  }

  @Test func aRecordOfTheLargestSizeIsTakenAndALargerOneRefused() throws {
    let folder = try JournalFolder()
    let journal = try folder.open()
    let room = 61440 - 40 - 9 - 7  // header, producer, principal
    try journal.appendAndWait(.sample(1, byteCount: room))
    #expect(throws: JournalError.recordTooLarge(bytes: 61441, limit: 61440)) {
      try journal.appendAndWait(.sample(2, byteCount: room + 1))
    }
    try journal.appendAndWait(.sample(3, byteCount: room))
    #expect(try journal.all().map(\.sequence) == [1, 3])
  }

  @Test func atItsLimitItSaysSoAtOnceAndGoesOnAfterRelease() throws {
    let folder = try JournalFolder()
    var limits = JournalLimits.small
    limits.maximumBytes = 4 * limits.segmentBytes
    let journal = try folder.open(limits)
    var taken: UInt64 = 0
    let full = JournalError.full(used: 262_144, limit: 262_144)
    #expect(throws: full) {
      while true {
        try journal.appendAndWait(.sample(taken + 1, byteCount: 1000))
        taken += 1
      }
    }
    #expect(taken == 4 * 58)  // 61,440 bytes a segment, 1,056 a record
    #expect(journal.status.condition == .full(full))
    #expect(try journal.all().count == Int(taken))
    journal.release(before: JournalPosition(segment: 2, offset: 0))
    try eventually { (try? journal.appendAndWait(.sample(taken + 1, byteCount: 1000))) != nil }
    #expect(journal.status.usedBytes <= limits.maximumBytes)
  }

  @Test func aClosedJournalTakesNothingAndWritesWhatWaited() throws {
    let folder = try JournalFolder()
    let journal = try folder.open()
    let done = Mutex(0)
    for sequence in 1...100 as ClosedRange<UInt64> {
      try journal.append(.sample(sequence)) { _ in done.withLock { $0 += 1 } }
    }
    journal.close()
    #expect(done.withLock { $0 } == 100)
    #expect(throws: JournalError.closed) { try journal.append(.sample(101)) { _ in } }
    journal.close()
    #expect(try folder.open().all().count == 100)
  }

  @Test func aSecondJournalInTheSameFolderIsRefused() throws {
    let folder = try JournalFolder()
    let journal = try folder.open()
    #expect(throws: JournalError.unusable(path: folder.journal, reason: "another process has it open")) {
      _ = try folder.open()
    }
    journal.close()
    _ = try folder.open()
  }

  @Test(arguments: [
    { limits in limits.maximumBytes = limits.segmentBytes }, { limits in limits.segmentBytes = 100 },
    { limits in limits.segmentBytes += 1 }, { limits in limits.segmentBytes = 4_294_967_296 },
    { limits in limits.maximumDiskShare = 0 }, { limits in limits.maximumDiskShare = 1.1 },
    { limits in limits.maximumDiskShare = .nan },
  ] as [@Sendable (inout JournalLimits) -> Void])
  func limitsThatCannotWorkAreRefused(_ spoil: @Sendable (inout JournalLimits) -> Void) throws {
    let folder = try JournalFolder()
    var limits = JournalLimits.small
    spoil(&limits)
    #expect(throws: JournalError.self) { _ = try folder.open(limits) }
    #expect(!FileManager.default.fileExists(atPath: folder.journal))
  }

  @Test func errorsTellAClientWhenToTryAgain() {
    let full = JournalError.full(used: 9, limit: 10).rpcStatus
    #expect(full.code == .resourceExhausted)
    #expect(full.message == "the journal is full: 9 of 10 bytes are in use")
    #expect(full.details.contains(.retryInfo(after: .seconds(1))))
    #expect(JournalError.diskFull(reason: "/secret").rpcStatus.code == .resourceExhausted)
    #expect(JournalError.busy(waiting: 1, limit: 1).rpcStatus.code == .resourceExhausted)
    for error in [JournalError.failed(reason: "/secret"), .closed, .unusable(path: "/secret", reason: "")] {
      #expect(error.rpcStatus.code == .unavailable)
      #expect(!error.rpcStatus.message.contains("secret"))
    }
  }
}

/// Waits for an event that comes by itself, at most 20 s.
func eventually(_ condition: () throws -> Bool, _ location: SourceLocation = #_sourceLocation) throws {
  let end = ContinuousClock.now + .seconds(20)
  while try !condition() {
    guard ContinuousClock.now < end else {
      Issue.record("it did not come", sourceLocation: location)
      return
    }
    usleep(2000)
  }
}
