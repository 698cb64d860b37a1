// The journal's thread: takes what waits, writes it in one piece, syncs once, tells all.
internal import Logging

/// There is no linger: while one sync is under way the next batch gathers by itself.
final class GroupCommit {
  private let state: JournalState
  private let names: SegmentNames
  private let disk: any JournalDisk
  private let logger: Logger
  /// Nil: the next record begins a segment.
  private var file: JournalFile?
  private var end: JournalPosition

  init(_ state: JournalState, _ names: SegmentNames, disk: any JournalDisk, recovery: Recovery, logger: Logger) {
    self.state = state
    self.names = names
    self.disk = disk
    self.logger = logger
    file = recovery.tailFile
    end = recovery.tail
  }

  /// Returns when the journal is closed and nothing waits.
  func run() {
    while let batches = state.nextBatches() {
      for (index, batch) in batches.enumerated() {
        do throws(JournalError) {
          try commit(batch)
        } catch {
          refuse(error, Array(batches[index...]))
          break
        }
      }
    }
    state.end(\.hasWriterEnded)
  }

  private func commit(_ batch: CommitBatch) throws(JournalError) {
    if file == nil || batch.start.segment != end.segment { try begin(batch.start.segment) }
    guard let file else { preconditionFailure("a segment that was begun has a file") }
    precondition(batch.start == end, "a batch goes where the one before it ended")
    batch.seal()
    let clock = ContinuousClock()
    let started = clock.now
    do throws(DiskError) {
      try disk.write(batch.bytes, to: file, at: Int(batch.start.offset))
      try disk.synchronize(file)
    } catch {
      throw .failed(reason: error.description)
    }
    end = batch.end
    state.settled(batch, after: clock.now - started)
    batch.succeed()
    state.reuse(batch.takeStorage())
  }

  /// The header is on the disk before the file gets its name, so a segment with its name has its header.
  private func begin(_ segment: UInt64) throws(JournalError) {
    let spare = try state.claimSpare()
    let header = SegmentHeader(segment: segment, segmentBytes: UInt32(state.limits.segmentBytes),
                               previousEnd: end.offset)
    do throws(DiskError) {
      let path = names.segment(segment)
      let prepared = try Disk.open(spare, for: .writing)
      try disk.write(header.encoded, to: prepared, at: 0)
      try disk.synchronize(prepared)
      try disk.rename(spare, to: path)
      try disk.synchronizeDirectory(names.directory)
      file = try Disk.open(path, for: .writing)
    } catch {
      throw .failed(reason: error.description)
    }
    end = JournalPosition(segment: segment, offset: UInt32(SegmentHeader.byteCount))
    state.beganSegment(end)
  }

  /// What was written and not synced may be on the disk or not: nobody is told "durable", and after a failure of the
  /// disk nothing is appended behind it. The next start reads what is there.
  private func refuse(_ error: JournalError, _ batches: [CommitBatch]) {
    let failed = state.refuse(error, batches)
    let level: Logger.Level = if case .diskFull = error { .warning } else { .critical }
    logger.log(level: level, "the journal does not take records", metadata: [
      "reason": "\(error)", "failed": "\(failed.reduce(0) { $0 + $1.entries.count })",
    ])
    for batch in failed { batch.fail(error) }
    state.settledRefusal()
  }
}
