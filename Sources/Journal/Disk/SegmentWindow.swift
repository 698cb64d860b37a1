// The part of a segment file that is in memory while it is read from front to back.

struct SegmentWindow {
  /// Bytes of one read: long enough for the disk, short enough for the cache.
  static let readBytes = 1 << 20

  let file: JournalFile
  private var bytes: [UInt8] = []
  private var start = 0

  init(_ file: JournalFile) { self.file = file }

  /// Whether the file has `count` bytes at `offset`; if so they are in memory until the next call.
  mutating func load(at offset: Int, count: Int) throws(DiskError) -> Bool {
    if offset >= start, offset + count <= start + bytes.count { return true }
    bytes = try Disk.read(file, at: offset, count: max(count, Self.readBytes))
    start = offset
    return bytes.count >= count
  }

  /// Of what `load` brought.
  func withBytes<Value>(at offset: Int, count: Int, _ body: (Span<UInt8>) -> Value) -> Value {
    body(bytes.span.extracting((offset - start)..<(offset - start + count)))
  }
}
