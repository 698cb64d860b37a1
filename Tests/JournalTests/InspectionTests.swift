// A look from outside: what is there, what is damaged, and what goes on meanwhile does no harm.
import Foundation
import Journal
import Synchronization
import Testing

@Suite struct InspectionTests {
  @Test func itCountsRecordsProducersAndRuns() throws {
    let folder = try JournalFolder()
    let journal = try folder.open()
    let sequences: [UInt64] = [1, 2, 3, 7, 8, 8, 1 << 62]
    let positions = try journal.appendAndWait(
      sequences.map { .sample($0) } + [.sample(5, producer: "b\n"), .sample(6, producer: "b\n")]
    ).map { try $0.get() }
    var seen: [JournalPosition] = []
    // The journal is open: no lock is needed.
    let found = try JournalInspection(directory: folder.journal) { position, record in
      let read = try journal.read(at: position)
      #expect(read == record)
      seen.append(position)
    }
    #expect(seen == positions)
    #expect(found.segments.map(\.segment) == [1])
    #expect(found.segments.map(\.fileBytes) == [65536])
    #expect(found.segments.map(\.recordCount) == [9])
    #expect(found.segments.map(\.start) == [positions[0]])
    #expect(found.segments.map(\.end) == [journal.status.durableEnd])
    #expect(found.producers.map(\.producerID) == ["b\n", "gateway-7"])
    #expect(found.producers.map(\.recordCount) == [2, 7])
    #expect(found.producers.map(\.sequences) == [[5...6], [1...3, 7...8, 8...8, 1 << 62 ... 1 << 62]])
    #expect(found.damages == [])
    #expect(found.keptAside == [])
  }

  @Test func runsGoOnOverSegments() throws {
    let folder = try JournalFolder()
    let journal = try folder.open()
    _ = try journal.appendAndWait((1...400).map { .sample($0, byteCount: 1000) })
    let found = try JournalInspection(directory: folder.journal)
    #expect(found.segments.map(\.segment) == Array(1...7))
    #expect(found.recordCount == 400)
    #expect(found.producers.map(\.sequences) == [[1...400]])
  }

  @Test func aTornTailIsNoDamageAndNothingIsChanged() throws {
    let folder = try JournalFolder()
    let journal = try folder.open()
    let positions = try (1...3).map { try journal.appendAndWait(.sample($0)) }
    journal.close()
    let name = try folder.files("segment")[0]
    var bytes = try folder.bytes(name)
    bytes[Int(positions[2].offset) + 60] ^= 1
    try folder.replace(name, with: bytes)
    let found = try JournalInspection(directory: folder.journal)
    #expect(found.recordCount == 2)
    #expect(found.segments[0].end == positions[2])
    #expect(found.damages == [])
    #expect(try folder.bytes(name) == bytes)
  }

  @Test func damageInAnySegmentIsNamedWithItsPlace() throws {
    let folder = try JournalFolder()
    let journal = try folder.open()
    let positions = try journal.appendAndWait((1...200).map { .sample($0, byteCount: 1000) }).map { try $0.get() }
    let last = try journal.appendAndWait(.sample(201, byteCount: 1000))
    let behind = try journal.appendAndWait(.sample(202))
    #expect(behind.segment == last.segment)
    journal.close()
    for position in [positions[70], positions[57], last] {
      let copy = try folder.copy()
      let name = try copy.files("segment")[Int(position.segment) - 1]
      var bytes = try copy.bytes(name)
      bytes[Int(position.offset) + 500] ^= 0x10
      try copy.replace(name, with: bytes)
      let found = try JournalInspection(directory: copy.journal)
      #expect(found.damages.map(\.position) == [position])
      #expect(found.damages.map(\.byteCount) == [1056])
      #expect(found.recordCount == 201)
      // Kept aside by the next start, which the inspection names.
      try copy.open().close()
      let after = try JournalInspection(directory: copy.journal)
      #expect(after.damages.map(\.position) == [position])
      let aside = try copy.files("damaged")
      #expect(after.keptAside == aside)
      #expect(after.keptAside.count == 1)
    }
  }

  @Test func aMissingSegmentAndADamagedHeaderAreNamed() throws {
    let folder = try JournalFolder()
    let journal = try folder.open()
    _ = try journal.appendAndWait((1...400).map { .sample($0, byteCount: 1000) })
    journal.close()
    let names = try folder.files("segment")
    for name in names[2...3] { try FileManager.default.removeItem(atPath: folder.journal + "/" + name) }
    var bytes = try folder.bytes(names[5])
    bytes[9] ^= 1
    try folder.replace(names[5], with: bytes)
    let found = try JournalInspection(directory: folder.journal)
    #expect(found.damages.map(\.position.segment) == [3, 6])
    #expect(found.damages.first?.reason == "the segments from here to 4 are missing")
    #expect(found.damages.last?.byteCount == 4096)
    #expect(found.producers.map(\.sequences) == [[1...116, 233...400]])
  }

  @Test func whatIsNoJournalIsNamed() throws {
    let folder = try JournalFolder()
    #expect(throws: JournalError.unusable(
      path: folder.journal, reason: "reading \(folder.journal): No such file or directory")
    ) { _ = try JournalInspection(directory: folder.journal) }
    try FileManager.default.createDirectory(atPath: folder.journal, withIntermediateDirectories: false)
    let found = try JournalInspection(directory: folder.journal)
    #expect(found.segments == [])
    #expect(found.damages == [])
  }

  /// Segments are written, released and used again while it reads: it finds no damage, and gives whole records only.
  @Test func aRunningJournalIsNeverCalledDamaged() throws {
    let folder = try JournalFolder()
    let journal = try folder.open()
    let isDone = Mutex(false)
    let writer = Thread {
      var sequence: UInt64 = 0
      while !isDone.withLock({ $0 }) {
        sequence += 1
        do {
          try journal.append(.sample(sequence, byteCount: 1000)) { _ in }
        } catch {
          sequence -= 1
          usleep(200)
        }
        if sequence % 300 == 0 { journal.release(before: journal.status.durableEnd) }
      }
      journal.close()
    }
    writer.start()
    defer { isDone.withLock { $0 = true } }
    var (looks, records) = (0, 0)
    try eventually {
      let found = try JournalInspection(directory: folder.journal) { _, record in
        records += 1
        #expect(record == .sample(record.sequence, byteCount: 1000))
      }
      #expect(found.damages == [])
      looks += 1
      return looks >= 60 && records > 0 && journal.status.end.segment > 50
    }
  }
}
