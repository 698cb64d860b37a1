// Reading what is durable: all of it at the start, or from a position on when memory was short.
internal import Logging

extension Journal {
  /// Gives every durable record from `position` (nil: the oldest that is kept) on, in order, until `body` returns
  /// false. `position` must be one that `append` or a walk gave. Damage is passed over, and told in the log. What is
  /// read is not taken back meanwhile, whatever is released. Throws `JournalError`, or what `body` throws.
  package func forEachRecord(
    from position: JournalPosition? = nil,
    _ body: (JournalPosition, JournalRecord) throws -> Bool
  ) throws {
    let first = position ?? JournalPosition(segment: 0, offset: 0)
    let (segments, durableEnd) = state.pin(first.segment)
    defer { state.unpin(first.segment) }
    for kept in segments where kept.segment >= first.segment && kept.segment <= durableEnd.segment {
      var offset = SegmentHeader.byteCount
      if kept.segment == first.segment { offset = max(offset, Int(first.offset)) }
      let end = kept.segment == durableEnd.segment ? durableEnd.offset : kept.end ?? 0
      guard try forEachRecord(of: kept.segment, from: offset, to: Int(end), body) else { return }
    }
  }

  /// One record; `position` must be one that `append` or a walk gave, and not released.
  package func read(at position: JournalPosition) throws(JournalError) -> JournalRecord {
    let (_, durableEnd) = state.pin(position.segment)
    defer { state.unpin(position.segment) }
    guard position < durableEnd else { throw .damaged(position, reason: "nothing durable stands there") }
    do throws(DiskError) {
      let file = try Disk.open(names.segment(position.segment), for: .reading)
      let end = position.segment == durableEnd.segment ? Int(durableEnd.offset) : try Disk.byteCount(of: file)
      var scan = try SegmentScan(file, segment: position.segment, from: Int(position.offset), knownEnd: end)
      if case .record(let found, let header)? = try scan.next() { return try scan.record(found, header) }
    } catch {
      throw .damaged(position, reason: error.isMissing ? "its segment was released" : error.description)
    }
    throw .damaged(position, reason: "no whole record stands there")
  }

  /// Whether `body` wants more.
  private func forEachRecord(of segment: UInt64, from offset: Int, to end: Int,
                             _ body: (JournalPosition, JournalRecord) throws -> Bool) throws -> Bool {
    do {
      let file = try Disk.open(names.segment(segment), for: .reading)
      var scan = try SegmentScan(file, segment: segment, from: offset, knownEnd: end)
      while let item = try scan.next() {
        switch item {
        case .record(let position, let header):
          guard try body(position, try scan.record(position, header)) else { return false }
        case .damage(let damage):
          if state.found(damage) { logger.error("the journal is damaged", metadata: ["at": "\(damage)"]) }
        }
      }
      return true
    } catch let error as DiskError {
      throw JournalError.damaged(JournalPosition(segment: segment, offset: UInt32(offset)), reason: error.description)
    }
  }
}
