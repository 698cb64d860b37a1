// The start: reads all segments, finds where the records end, makes sure that what was found is on the disk.

/// A segment file that is in use.
struct KeptSegment: Sendable {
  var segment: UInt64
  /// Bytes of its file on the disk.
  var fileBytes: Int
  /// Records may be written up to here; 0: none any more.
  var capacity: Int
  /// Where its records end; nil while it may get more.
  var end: UInt32?
}

/// What the start found.
struct Recovery: Sendable {
  var kept: [KeptSegment] = []
  var spares: [String] = []
  var tail = JournalPosition(segment: 0, offset: 0)
  /// Nil: the next record begins a new segment.
  var tailFile: JournalFile?
  var damages: [JournalDamage] = []
  var recordCount = 0
  /// Above the number of every file.
  var nextNumber: UInt64 = 1

  private let names: SegmentNames
  private let disk: any JournalDisk
  private let limits: JournalLimits
  private var otherVersion: (segment: UInt64, version: UInt32)?

  init(_ names: SegmentNames, limits: JournalLimits, disk: any JournalDisk) throws(JournalError) {
    self.names = names
    self.limits = limits
    self.disk = disk
    do throws(DiskError) {
      let listing = try names.list()
      nextNumber = 1 + max(listing.segments.last ?? 0, listing.spares.last ?? 0)
      for number in listing.making { try Disk.remove(names.making(number)) }
      try takeSpares(listing.spares)
      try readSegments(listing.segments)
    } catch {
      throw .unusable(path: names.directory, reason: error.description)
    }
    if let otherVersion {
      throw .unusable(path: names.segment(otherVersion.segment), reason: """
        its format is version \(otherVersion.version), this program knows version \(SegmentHeader.version); run the \
        program that wrote it, or move the journal away and lose what only it holds
        """)
    }
  }

  private mutating func takeSpares(_ numbers: [UInt64]) throws(DiskError) {
    for number in numbers {
      let path = names.spare(number)
      let size = try Disk.byteCount(of: Disk.open(path, for: .reading))
      if size == limits.segmentBytes, spares.count < limits.recycledSegments {
        spares.append(path)
      } else {
        try Disk.remove(path)
      }
    }
  }

  private mutating func readSegments(_ segments: [UInt64]) throws(DiskError) {
    var headers: [UInt64: SegmentHeader] = [:]
    for segment in segments {
      let file = try Disk.open(names.segment(segment), for: .reading)
      switch SegmentHeader.read(try Disk.read(file, at: 0, count: SegmentHeader.byteCount)) {
      case .header(let header) where header.segment == segment: headers[segment] = header
      case .otherVersion(let version):
        otherVersion = (segment, version)
        return
      case .header, .damaged: note(segment, byteCount: SegmentHeader.byteCount, "its header is not what was written")
      }
    }
    for (index, segment) in segments.enumerated() {
      if index > 0, segments[index - 1] + 1 < segment {
        note(segments[index - 1] + 1, byteCount: 0, "the segments from here to \(segment - 1) are missing")
      }
      let isLast = index == segments.count - 1
      try read(segment, headers[segment], knownEnd: isLast ? nil : headers[segment + 1]?.previousEnd, isLast: isLast)
    }
    for damage in damages where damage.byteCount > 0 { try keepAside(damage) }
  }

  private mutating func read(_ segment: UInt64, _ header: SegmentHeader?, knownEnd: UInt32?,
                             isLast: Bool) throws(DiskError) {
    let file = try Disk.open(names.segment(segment), for: isLast ? .writing : .reading)
    let fileBytes = try Disk.byteCount(of: file)
    var scan = try SegmentScan(file, segment: segment, knownEnd: knownEnd.map { Int($0) })
    while let item = try scan.next() {
      switch item {
      case .record: recordCount += 1
      case .damage(let damage): damages.append(damage)
      }
    }
    let end = UInt32(scan.offset)
    var entry = KeptSegment(segment: segment, fileBytes: fileBytes, capacity: 0, end: end)
    if isLast {
      try settle(file, scan)
      tail = JournalPosition(segment: segment, offset: end)
      // A file that is not as it was made gets no more records.
      if let header, fileBytes == Int(header.segmentBytes) {
        tailFile = file
        entry.capacity = fileBytes
        entry.end = nil
      }
    }
    kept.append(entry)
  }

  /// What was found may be in the kernel's memory only, and marked clean there by a sync that failed: it is written
  /// again, so that the sync has something to do. What is torn is overwritten: a record of it might else stand, one
  /// day, just behind a new one.
  private func settle(_ file: JournalFile, _ scan: SegmentScan) throws(DiskError) {
    if scan.lastDurableBefore < scan.offset {
      let bytes = try Disk.read(file, at: scan.lastDurableBefore, count: scan.offset - scan.lastDurableBefore)
      try disk.write(bytes, to: file, at: scan.lastDurableBefore)
    }
    if scan.tornEnd > scan.offset {
      try disk.write([UInt8](repeating: 0, count: scan.tornEnd - scan.offset), to: file, at: scan.offset)
    }
    try disk.synchronize(file)
  }

  private mutating func note(_ segment: UInt64, byteCount: Int, _ reason: String) {
    damages.append(JournalDamage(position: JournalPosition(segment: segment, offset: 0), byteCount: byteCount,
                                 reason: reason))
  }

  /// For whoever wants to look at them: the segment itself will be used again. Written once.
  private func keepAside(_ damage: JournalDamage) throws(DiskError) {
    let bytes = try Disk.read(Disk.open(names.segment(damage.position.segment), for: .reading),
                              at: Int(damage.position.offset), count: damage.byteCount)
    let path = names.damaged(damage)
    guard try !Disk.exists(path) else { return }
    let file = try Disk.open(path, for: .making)
    try disk.write(bytes, to: file, at: 0)
    try disk.synchronize(file)
  }
}
