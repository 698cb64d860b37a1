// The second thread: makes segment files before they are needed and takes back those that are not needed any more.
internal import Dispatch
internal import Logging

final class SegmentSupply: @unchecked Sendable {
  // @unchecked because one thread has it at a time: the one that opens the journal, then its own.
  /// Bytes of one write while a file is made: a batch that is synced meanwhile waits for one of them at most.
  private static let zeros = [UInt8](repeating: 0, count: 1 << 20)
  /// How often a full disk is asked again.
  private static let retry = DispatchTimeInterval.seconds(1)

  private let state: JournalState
  private let names: SegmentNames
  private let disk: any JournalDisk
  private let logger: Logger
  private var nextNumber: UInt64

  /// `nextNumber` is above the number of every file.
  init(_ state: JournalState, _ names: SegmentNames, disk: any JournalDisk, nextNumber: UInt64, logger: Logger) {
    self.state = state
    self.names = names
    self.disk = disk
    self.logger = logger
    self.nextNumber = nextNumber
  }

  /// Returns when the writer has ended.
  func run() {
    while true {
      switch state.nextSupplyWork() {
      case .end:
        state.end(\.hasSupplyEnded)
        return
      case .retire(let segment, let keep): retire(segment, keep: keep)
      case .makeSpare:
        // A segment that is released ends the wait.
        if !makeSpare() { _ = state.supplyWork.wait(timeout: .now() + Self.retry) }
      case .wait: state.supplyWork.wait()
      }
    }
  }

  /// At the start: a full disk may have room later, but a directory that cannot be written to is an error.
  func makeFirst() throws(JournalError) {
    do throws(DiskError) {
      if let reason = try makeFile() { lack(reason) }
    } catch {
      guard error.isFull else { throw .unusable(path: names.directory, reason: error.description) }
      lack(error.description)
    }
  }

  /// Whether there is one now. A disk that is full only now may have room later.
  private func makeSpare() -> Bool {
    do throws(DiskError) {
      let reason = try makeFile()
      guard let reason else { return true }
      lack(reason)
    } catch {
      lack(error.description)
    }
    return false
  }

  /// Returns why there is no room for it; nil when it was made.
  private func makeFile() throws(DiskError) -> String? {
    let limits = state.limits
    let room = try Disk.room(in: names.directory)
    guard Double(room.available - limits.segmentBytes) >= Double(room.total) * (1 - limits.maximumDiskShare) else {
      return """
        \(names.directory): of \(room.total) bytes \(room.available) are free, and another segment would leave less \
        than the part of \(1 - limits.maximumDiskShare) that is to stay free
        """
    }
    let number = nextNumber
    nextNumber += 1
    let path = names.making(number)
    do throws(DiskError) {
      let file = try Disk.open(path, for: .making)
      var offset = 0
      while offset < limits.segmentBytes {
        let count = min(Self.zeros.count, limits.segmentBytes - offset)
        try disk.write(count == Self.zeros.count ? Self.zeros : Array(Self.zeros[..<count]), to: file, at: offset)
        offset += count
      }
      try disk.synchronize(file)
      try disk.rename(path, to: names.spare(number))
    } catch {
      // Best effort: the next start removes what is left of it.
      try? Disk.remove(path)
      throw error
    }
    if state.addSpare(names.spare(number)) {
      logger.notice("the journal has room for a further segment again")
    }
    return nil
  }

  private func lack(_ reason: String) {
    if state.lacksSpare(.diskFull(reason: reason)) {
      logger.warning("the journal cannot have a further segment for now", metadata: ["reason": "\(reason)"])
    }
  }

  /// The new name is on the disk before the file is written to again: no start finds a segment that is half a new one.
  private func retire(_ segment: KeptSegment, keep: Bool) {
    let path = names.segment(segment.segment)
    do throws(DiskError) {
      if keep {
        let spare = names.spare(segment.segment)
        try disk.rename(path, to: spare)
        try disk.synchronizeDirectory(names.directory)
        _ = state.addSpare(spare)
      } else {
        try Disk.remove(path)
      }
    } catch {
      // Its records are committed: at worst the next start reads them once more and the cursors skip them.
      logger.error("a segment of the journal cannot be taken back", metadata: ["reason": "\(error)"])
    }
  }
}
