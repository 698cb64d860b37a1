// What a crash, a bad disk or another program left: nothing durable is lost, nothing stale comes back.
import Foundation
import Journal
import Synchronization
import Testing

@Suite struct RecoveryTests {
  /// Three records, each synced by itself; the names of the segment and the place of the last one.
  private func threeRecords() throws -> (folder: JournalFolder, segment: String, positions: [JournalPosition]) {
    let folder = try JournalFolder()
    let journal = try folder.open()
    let positions = try (1...3).map { try journal.appendAndWait(.sample($0, byteCount: 50)) }
    journal.close()
    return (folder, try folder.files("segment")[0], positions)
  }

  @Test func cutAtEveryByteOfItsLastRecordTheRestIsThere() throws {
    let (folder, name, positions) = try threeRecords()
    let bytes = try folder.bytes(name)
    for end in Int(positions[2].offset)..<(Int(positions[2].offset) + 40 + 9 + 7 + 50) {
      let copy = try folder.copy()
      try copy.replace(name, with: Array(bytes[..<end]))
      let journal = try copy.open()
      #expect(try journal.all().map(\.sequence) == [1, 2], "cut at \(end)")
      #expect(journal.status.damages == [])
      try journal.appendAndWait(.sample(4))
      #expect(try journal.all().map(\.sequence) == [1, 2, 4])
      journal.close()
      #expect(try copy.open().all().map(\.sequence) == [1, 2, 4])
    }
  }

  @Test func aFlippedBitAnywhereInTheLastRecordCutsThatRecordOnly() throws {
    let (folder, name, positions) = try threeRecords()
    let bytes = try folder.bytes(name)
    for index in Int(positions[2].offset)..<(Int(positions[2].offset) + 40 + 9 + 7 + 50) {
      let copy = try folder.copy()
      var changed = bytes
      changed[index] ^= 1 << (index % 8)
      try copy.replace(name, with: changed)
      let journal = try copy.open()
      #expect(try journal.all() == [.sample(1, byteCount: 50), .sample(2, byteCount: 50)], "at \(index)")
      try journal.appendAndWait(.sample(4))
      #expect(try journal.all().map(\.sequence) == [1, 2, 4])
    }
  }

  @Test func aFlippedBitBeforeALaterSyncIsDamageThatIsNamedAndKept() throws {
    let (folder, name, positions) = try threeRecords()
    let bytes = try folder.bytes(name)
    for index in Int(positions[1].offset)..<(Int(positions[1].offset) + 40 + 9 + 7 + 50) {
      let copy = try folder.copy()
      var changed = bytes
      changed[index] ^= 1 << (index % 8)
      try copy.replace(name, with: changed)
      let journal = try copy.open()
      #expect(try journal.all().map(\.sequence) == [1, 3], "at \(index)")
      #expect(journal.status.damages.map(\.position) == [positions[1]])
      #expect(journal.status.damages.map(\.byteCount) == [112])
      let aside = try copy.files("damaged")
      #expect(aside.count == 1)
      #expect(try copy.bytes(aside[0]) == Array(changed[Int(positions[1].offset)..<Int(positions[2].offset)]))
      #expect(throws: JournalError.self) { try journal.read(at: positions[1]) }
      try journal.appendAndWait(.sample(4))
      journal.close()
      #expect(try copy.open().all().map(\.sequence) == [1, 3, 4])
    }
  }

  @Test func whatAnEarlierUseOfTheFileLeftIsNeverARecord() throws {
    let folder = try JournalFolder()
    var journal = try folder.open()
    var sequence: UInt64 = 0
    // Equal records: an old one stands at the very offset where a new one could.
    for _ in 1...12 {
      let records = (1...60).map { JournalRecord.sample(sequence + $0, byteCount: 1000) }
      _ = try journal.appendAndWait(records)
      sequence += 60
      journal.release(before: journal.status.end)
      journal.close()
      journal = try folder.open()
      let found = try journal.all().map(\.sequence)
      #expect(found.last == sequence)
      #expect(found == found.sorted() && Set(found).count == found.count)
      #expect(journal.status.damages == [])
    }
  }

  @Test func aDamagedHeaderCostsNoRecord() throws {
    let (folder, name, _) = try threeRecords()
    var bytes = try folder.bytes(name)
    bytes[17] ^= 4
    try folder.replace(name, with: bytes)
    let journal = try folder.open()
    #expect(try journal.all().map(\.sequence) == [1, 2, 3])
    #expect(journal.status.damages.map(\.byteCount) == [4096])
    try journal.appendAndWait(.sample(4))
    #expect(try journal.all().map(\.sequence) == [1, 2, 3, 4])
  }

  @Test func aFailedSyncFailsTheBatchAndAllThatFollowsUntilTheNextStart() throws {
    let folder = try JournalFolder()
    let disk = FailingDisk()
    let journal = try folder.open(.small, disk: disk)
    try journal.appendAndWait(.sample(1))
    disk.failSyncs(of: ".segment", code: EIO)
    #expect(throws: JournalError.self) { try journal.appendAndWait(.sample(2)) }
    disk.work()
    #expect(throws: JournalError.self) { try journal.append(.sample(3)) { _ in } }
    guard case .failed(.failed(let reason)) = journal.status.condition else {
      Issue.record("\(journal.status.condition)")
      return
    }
    #expect(reason.contains("Input/output error"))
    #expect(try journal.all().map(\.sequence) == [1])
    journal.close()
    let again = try folder.open()
    // The second was never called durable; it may be there.
    #expect(try again.all().map(\.sequence).first == 1)
    try again.appendAndWait(.sample(4))
    #expect(try again.all().last?.sequence == 4)
  }

  @Test func aFullDiskIsSaidAtOnceAndPassesByItself() throws {
    let folder = try JournalFolder()
    let disk = FailingDisk()
    let journal = try folder.open(.small, disk: disk)
    try journal.appendAndWait(.sample(1))
    // The next spare file may be there already: two segments at most.
    disk.failWrites(of: ".making", code: ENOSPC)
    var taken: UInt64 = 1
    let error = #expect(throws: JournalError.self) {
      while true {
        try journal.appendAndWait(.sample(taken + 1, byteCount: 1000))
        taken += 1
      }
    }
    guard case .diskFull? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(taken < 3 * 60)
    #expect(try journal.all().map(\.sequence) == Array(1...taken))
    disk.work()
    try eventually { (try? journal.appendAndWait(.sample(taken + 1, byteCount: 1000))) != nil }
    #expect(try journal.all().map(\.sequence) == Array(1...(taken + 1)))
    #expect(journal.status.condition == .ok)
  }

  @Test func manyThreadsKeepTheirOrderAndShareSyncs() throws {
    let folder = try JournalFolder()
    var limits = JournalLimits.small
    (limits.segmentBytes, limits.maximumBytes) = (8 << 20, 1 << 30)
    let journal = try folder.open(limits)
    let perThread: UInt64 = 50_000
    DispatchQueue.concurrentPerform(iterations: 4) { thread in
      for sequence in 1...perThread {
        while (try? journal.append(.sample(sequence, producer: "p\(thread)", byteCount: 20)) { _ in }) == nil {
          usleep(500)
        }
      }
    }
    journal.close()
    let status = journal.status
    #expect(status.appendedRecords == 4 * perThread)
    #expect(status.syncs < status.appendedRecords / 4)
    var next: [String: UInt64] = [:]
    try folder.open(limits).forEachRecord { _, record in
      #expect(record.sequence == next[record.producerID, default: 0] + 1)
      next[record.producerID] = record.sequence
      return true
    }
    #expect(next == ["p0": perThread, "p1": perThread, "p2": perThread, "p3": perThread])
  }
}

/// The system's disk, of which some operations fail when told to.
final class FailingDisk: JournalDisk {
  private let faults = Mutex<(writes: String?, syncs: String?, code: Int32)>((nil, nil, 0))

  func failWrites(of suffix: String, code: Int32) { faults.withLock { $0 = (suffix, nil, code) } }

  func failSyncs(of suffix: String, code: Int32) { faults.withLock { $0 = (nil, suffix, code) } }

  func work() { faults.withLock { $0 = (nil, nil, 0) } }

  func write(_ bytes: [UInt8], to file: JournalFile, at offset: Int) throws(DiskError) {
    let (suffix, _, code) = faults.withLock { $0 }
    if let suffix, file.path.hasSuffix(suffix) { throw DiskError("write to", file.path, code: code) }
    try SystemDisk().write(bytes, to: file, at: offset)
  }

  func synchronize(_ file: JournalFile) throws(DiskError) {
    let (_, suffix, code) = faults.withLock { $0 }
    if let suffix, file.path.hasSuffix(suffix) { throw DiskError("fdatasync of", file.path, code: code) }
    try SystemDisk().synchronize(file)
  }

  func rename(_ old: String, to new: String) throws(DiskError) { try SystemDisk().rename(old, to: new) }

  func synchronizeDirectory(_ path: String) throws(DiskError) { try SystemDisk().synchronizeDirectory(path) }
}
