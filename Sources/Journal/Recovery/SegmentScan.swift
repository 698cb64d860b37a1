// Walks the records of one segment, tells a torn tail from damage, and finds the records behind damage again.

/// A record that was being written when the machine stopped is *torn*: nobody was told that it is durable, and the
/// segment ends before it. Bytes that had been synced and are not what was written are *damage*. Two things prove that
/// bytes had been synced: a segment began after this one (its header says where this one ended), or a later record of
/// this segment says so (`RecordHeader.durableBefore`). Without proof it is a torn tail.
struct SegmentScan {
  enum Item {
    case record(JournalPosition, RecordHeader)
    case damage(JournalDamage)
  }

  let segment: UInt64
  /// Where the next item begins, and at the end where the segment's records end.
  private(set) var offset: Int
  /// The end of the last record that was found behind a torn one; else 0.
  private(set) var tornEnd = 0
  /// As the newest record says: the bytes from here on may not have been synced.
  private(set) var lastDurableBefore: Int
  private var window: SegmentWindow
  private let knownEnd: Int?
  private let fileBytes: Int
  private var provenDurable: Int?

  /// Without a known end the scan finds it.
  init(_ file: JournalFile, segment: UInt64, from offset: Int = SegmentHeader.byteCount,
       knownEnd: Int?) throws(DiskError) {
    self.segment = segment
    self.offset = offset
    self.knownEnd = knownEnd
    lastDurableBefore = offset
    window = SegmentWindow(file)
    fileBytes = try Disk.byteCount(of: file)
  }

  /// Nil at the end.
  mutating func next() throws(DiskError) -> Item? {
    let limit = knownEnd ?? fileBytes
    guard offset < limit else { return nil }
    let position = position(offset)
    if let header = try header(at: offset, upTo: limit) {
      offset += header.paddedLength
      lastDurableBefore = Int(header.durableBefore)
      return .record(position, header)
    }
    guard try isDamage(at: offset) else { return nil }
    let next = try nextRecord(after: offset, upTo: limit) ?? limit
    defer { offset = next }
    let reason = next < limit ? "not what was written; the records behind it are whole" : "not what was written"
    return .damage(JournalDamage(position: position, byteCount: next - offset, reason: reason))
  }

  /// The one that `next` gave last.
  mutating func record(_ position: JournalPosition, _ header: RecordHeader) throws(DiskError) -> JournalRecord {
    // In memory already: `next` had its checksum made.
    guard try window.load(at: Int(position.offset), count: header.length) else {
      throw DiskError("reading again", window.file.path, code: 0)
    }
    return window.withBytes(at: Int(position.offset) + RecordHeader.byteCount,
                            count: header.length - RecordHeader.byteCount) { header.record(body: $0) }
  }

  private func position(_ offset: Int) -> JournalPosition {
    JournalPosition(segment: segment, offset: UInt32(offset))
  }

  /// Nil when no whole record stands there.
  private mutating func header(at offset: Int, upTo limit: Int) throws(DiskError) -> RecordHeader? {
    let position = position(offset)
    guard offset + RecordHeader.byteCount <= limit, try window.load(at: offset, count: RecordHeader.byteCount),
      let header = window.withBytes(at: offset, count: RecordHeader.byteCount, { RecordHeader($0, at: position) }),
      offset + header.length <= limit, try window.load(at: offset, count: header.length)
    else { return nil }
    let bodyBytes = header.length - RecordHeader.byteCount
    let matches = window.withBytes(at: offset + RecordHeader.byteCount, count: bodyBytes) { header.matches(body: $0) }
    return matches ? header : nil
  }

  private mutating func isDamage(at offset: Int) throws(DiskError) -> Bool {
    if knownEnd != nil { return true }
    if provenDurable == nil {
      // Once a segment: its last record says most.
      var (durable, end, at) = (0, 0, offset)
      while let next = try nextRecord(after: at, upTo: fileBytes), let header = try header(at: next, upTo: fileBytes) {
        durable = max(durable, Int(header.durableBefore))
        end = next + header.paddedLength
        at = end - RecordHeader.alignment
      }
      provenDurable = durable
      tornEnd = end
    }
    return (provenDurable ?? 0) > offset
  }

  private mutating func nextRecord(after offset: Int, upTo limit: Int) throws(DiskError) -> Int? {
    var candidate = offset + RecordHeader.alignment
    while candidate + RecordHeader.byteCount <= limit {
      if try header(at: candidate, upTo: limit) != nil { return candidate }
      candidate += RecordHeader.alignment
    }
    return nil
  }
}
