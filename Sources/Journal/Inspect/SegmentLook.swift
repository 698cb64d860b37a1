// One segment read from outside, while its writer may be adding to it or taking it back.

struct SegmentLook {
  private(set) var segment: JournalInspection.Segment
  private(set) var producers: [String: JournalInspection.Producer] = [:]
  private(set) var damages: [JournalDamage] = []

  init(_ number: UInt64) {
    let start = JournalPosition(segment: number, offset: UInt32(SegmentHeader.byteCount))
    segment = .init(segment: number, fileBytes: 0, recordCount: 0, start: start, end: start)
  }

  /// False when the segment was released meanwhile. `next` is the segment that is listed after it.
  mutating func read(_ names: SegmentNames, next: UInt64?,
                     _ body: (JournalPosition, JournalRecord) throws -> Void) throws -> Bool {
    let path = names.segment(segment.segment)
    guard let file = try Self.open(path) else { return false }
    segment.fileBytes = try Disk.byteCount(of: file)
    try readHeader(file)
    let following = segment.segment + 1
    var knownEnd: Int?
    if next == following { knownEnd = try Self.endBefore(following, names) }
    try readRecords(file, knownEnd: knownEnd, body)
    // Segments go in their order: as long as this one is there the next ones are, or they are lost.
    if let next, next > following, try !Disk.exists(names.segment(following)) {
      note(following, 0, byteCount: 0, "the segments from here to \(next - 1) are missing")
    }
    return try Disk.exists(path)
  }

  private mutating func readHeader(_ file: JournalFile) throws {
    switch SegmentHeader.read(try Disk.read(file, at: 0, count: SegmentHeader.byteCount)) {
    case .header(let header) where header.segment == segment.segment: break
    case .otherVersion(let version):
      throw JournalError.unusable(path: file.path, reason: """
        its format is version \(version), this program knows version \(SegmentHeader.version)
        """)
    case .header, .damaged:
      note(segment.segment, 0, byteCount: SegmentHeader.byteCount, "its header is not what was written")
    }
  }

  private mutating func readRecords(_ file: JournalFile, knownEnd: Int?,
                                    _ body: (JournalPosition, JournalRecord) throws -> Void) throws {
    var scan = try SegmentScan(file, segment: segment.segment, knownEnd: knownEnd)
    var doubted: JournalPosition?
    while let item = try scan.next() {
      switch item {
      case .record(let position, let header):
        let record = try scan.record(position, header)
        segment.recordCount += 1
        producers[record.producerID, default: .init(record.producerID)].add(record.sequence)
        try body(position, record)
      case .damage(let damage) where damage.position != doubted:
        // Its bytes may have been read before they were written, and those of a later record, which says that they
        // were durable, after that. A second look tells.
        doubted = damage.position
        scan = try SegmentScan(file, segment: segment.segment, from: Int(damage.position.offset), knownEnd: knownEnd)
      case .damage(let damage): damages.append(damage)
      }
    }
    segment.end.offset = UInt32(scan.offset)
  }

  private mutating func note(_ number: UInt64, _ offset: UInt32, byteCount: Int, _ reason: String) {
    damages.append(JournalDamage(position: JournalPosition(segment: number, offset: offset), byteCount: byteCount,
                                 reason: reason))
  }

  /// As the segment behind says; nil when it says nothing that can be trusted.
  private static func endBefore(_ following: UInt64, _ names: SegmentNames) throws -> Int? {
    guard let file = try open(names.segment(following)),
      case .header(let header) = SegmentHeader.read(try Disk.read(file, at: 0, count: SegmentHeader.byteCount)),
      header.segment == following
    else { return nil }
    return Int(header.previousEnd)
  }

  private static func open(_ path: String) throws(DiskError) -> JournalFile? {
    do throws(DiskError) {
      return try Disk.open(path, for: .reading)
    } catch {
      guard error.isMissing else { throw error }
      return nil
    }
  }
}
