// The records of one segment that are written and synced together.

/// Filled under the state's lock, then the writer's alone.
final class CommitBatch {
  struct Entry {
    /// Where the record begins in `bytes`.
    var index: Int
    var completion: @Sendable (Result<JournalPosition, JournalError>) -> Void
  }

  let start: JournalPosition
  var bytes: [UInt8]
  var entries: [Entry] = []

  init(start: JournalPosition, storage: [UInt8]) {
    self.start = start
    bytes = storage
  }

  var end: JournalPosition {
    JournalPosition(segment: start.segment, offset: start.offset + UInt32(bytes.count))
  }

  func position(of entry: Entry) -> JournalPosition {
    JournalPosition(segment: start.segment, offset: start.offset + UInt32(entry.index))
  }

  /// All before the batch is synced: batches of a segment follow one another.
  func seal() {
    for entry in entries {
      RecordHeader.seal(&bytes, at: entry.index, position: position(of: entry), durableBefore: start.offset)
    }
  }

  /// The bytes have been written.
  func takeStorage() -> [UInt8] {
    defer { bytes = [] }
    return bytes
  }

  func succeed() {
    for entry in entries { entry.completion(.success(position(of: entry))) }
  }

  func fail(_ error: JournalError) {
    for entry in entries { entry.completion(.failure(error)) }
  }
}
