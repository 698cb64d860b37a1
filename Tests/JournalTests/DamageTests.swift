// Damage beyond the last record of the last segment, and files that another version wrote.
import Foundation
import Journal
import Testing

@Suite struct DamageTests {
  /// One record, then four that are synced together.
  private func batchOfFour() throws -> (folder: JournalFolder, name: String, positions: [JournalPosition]) {
    let folder = try JournalFolder()
    let disk = HeldDisk()
    let journal = try folder.open(.small, disk: disk)
    // The segment's header is synced under the spare file's name: only the record waits.
    disk.hold()
    var positions = [try journal.append(.sample(1)) { _ in }]
    try eventually { disk.isWaiting }
    for sequence in 2...5 as ClosedRange<UInt64> { positions.append(try journal.append(.sample(sequence)) { _ in }) }
    disk.letGo()
    journal.close()
    #expect(journal.status.syncs == 2)
    return (folder, try folder.files("segment")[0], positions)
  }

  /// The pages of a batch may reach the disk in any order: whole records behind a bad one of the same batch prove
  /// nothing. Nobody was told that they are durable, and they must not come back later.
  @Test(arguments: 1...4) func aTornBatchIsCutAtItsFirstBadRecord(_ bad: Int) throws {
    let (folder, name, positions) = try batchOfFour()
    var bytes = try folder.bytes(name)
    bytes[Int(positions[bad].offset) + 70] ^= 1
    try folder.replace(name, with: bytes)
    let inspection = try JournalInspection(directory: folder.journal)
    #expect(inspection.recordCount == bad)
    #expect(inspection.damages == [])
    let journal = try folder.open()
    #expect(try journal.all() == (1...UInt64(bad)).map { .sample($0) })
    #expect(journal.status.damages == [])
    #expect(journal.status.end == positions[bad])
    // As long as those that were cut: an old one would stand just behind it.
    try journal.appendAndWait(.sample(9))
    journal.close()
    #expect(try folder.open().all() == (1...UInt64(bad)).map { .sample($0) } + [.sample(9)])
  }

  @Test func theFirstBatchIsDamagedWhenASecondFollowed() throws {
    let (folder, name, positions) = try batchOfFour()
    var bytes = try folder.bytes(name)
    bytes[Int(positions[0].offset) + 70] ^= 1
    try folder.replace(name, with: bytes)
    let journal = try folder.open()
    #expect(try journal.all() == (2...5).map { .sample($0) })
    #expect(journal.status.damages.map(\.position) == [positions[0]])
  }

  /// 400 records of 1,056 bytes in seven segments, 58 in each full one.
  private func sevenSegments() throws -> (folder: JournalFolder, positions: [JournalPosition]) {
    let folder = try JournalFolder()
    let journal = try folder.open()
    let results = try journal.appendAndWait((1...400).map { .sample($0, byteCount: 1000) })
    journal.close()
    return (folder, try results.map { try $0.get() })
  }

  /// The first, one in the middle and the last of a segment; no later record of it is needed as proof.
  @Test(arguments: [116, 140, 173]) func damageInAnEarlierSegmentCostsOneRecord(_ bad: Int) throws {
    let (folder, positions) = try sevenSegments()
    let name = try folder.files("segment")[2]
    #expect(positions[bad].segment == 3)
    var bytes = try folder.bytes(name)
    for index in 0..<8 { bytes[Int(positions[bad].offset) + index] = 0 }
    try folder.replace(name, with: bytes)
    let journal = try folder.open()
    #expect(try journal.all().map(\.sequence) == (1...400).filter { $0 != UInt64(bad + 1) })
    #expect(journal.status.damages.map(\.position) == [positions[bad]])
    #expect(journal.status.damages.map(\.byteCount) == [1056])
    let aside = try folder.files("damaged")
    #expect(aside.count == 1)
    try journal.appendAndWait(.sample(401))
    #expect(try journal.all().last == .sample(401))
  }

  @Test func anEarlierSegmentThatIsCutShortIsDamaged() throws {
    let (folder, positions) = try sevenSegments()
    let name = try folder.files("segment")[2]
    try folder.replace(name, with: Array(try folder.bytes(name)[..<Int(positions[130].offset)]))
    let journal = try folder.open()
    #expect(try journal.all().map(\.sequence) == Array(1...130) + Array(175...400))
    #expect(journal.status.damages.map(\.position) == [positions[130]])
  }

  @Test func aMissingSegmentIsNamedAndTheOthersAreGiven() throws {
    let (folder, _) = try sevenSegments()
    try FileManager.default.removeItem(atPath: folder.journal + "/" + folder.files("segment")[3])
    let journal = try folder.open()
    #expect(try journal.all().map(\.sequence) == Array(1...174) + Array(233...400))
    #expect(journal.status.damages.map(\.reason) == ["the segments from here to 4 are missing"])
    #expect(journal.status.damages.map(\.position) == [JournalPosition(segment: 4, offset: 0)])
    try journal.appendAndWait(.sample(401))
    #expect(try journal.all().last == .sample(401))
  }

  @Test func aSegmentOfAnotherVersionIsRefusedAndLeftAsItIs() throws {
    let (folder, _) = try sevenSegments()
    let name = try folder.files("segment")[4]
    var bytes = try folder.bytes(name)
    bytes[8] = 2
    var crc = CRC32C()
    crc.update(bytes.span.extracting(0..<40))
    for index in 0..<4 { bytes[40 + index] = UInt8(truncatingIfNeeded: crc.value >> (8 * index)) }
    try folder.replace(name, with: bytes)
    let before = try folder.files().map { try folder.bytes($0) }
    for attempt in [{ _ = try folder.open() }, { _ = try JournalInspection(directory: folder.journal) }] {
      let error = #expect(throws: JournalError.self) { try attempt() }
      guard case .unusable(let path, let reason)? = error else {
        Issue.record("\(String(describing: error))")
        continue
      }
      #expect(path == folder.journal + "/" + name)
      #expect(reason.hasPrefix("its format is version 2, this program knows version 1"))
    }
    #expect(try folder.files().map { try folder.bytes($0) } == before)
  }
}
