// What the journal's threads and its callers share: the queue, the list of segments, the limits.
internal import Dispatch
internal import Foundation

/// One lock. Callers append and release, the writer takes batches, the supply of segments makes and retires files.
final class JournalState: @unchecked Sendable {
  // @unchecked because every access to what is not constant is made under the condition's lock.
  let condition = NSCondition()
  /// Wakes the supply; apart from the condition, so that an append wakes the writer only.
  let supplyWork = DispatchSemaphore(value: 0)
  let limits: JournalLimits

  /// Where the next record goes.
  var tail: JournalPosition
  var tailCapacity: Int
  var durableEnd: JournalPosition
  var queue: [CommitBatch] = []
  /// Storage of a batch that is done, to be filled again.
  var storage: [UInt8] = []
  var waitingRecords = 0
  var waitingBytes = 0
  var isWriterIdle = false

  /// Thrown by every append until it is nil again.
  var refusal: JournalError?
  /// The failure of batches is being told: nothing is taken before all have heard.
  var isSettling = false
  var isClosing = false
  var hasWriterEnded = false
  var hasSupplyEnded = false

  /// In order, those included that the writer has not begun.
  var kept: [KeptSegment]
  /// The last of `kept` that exist in the queue only.
  var promisedSegments = 0
  /// The writer has a spare file in hand and has not made a segment of it yet.
  var isBeginning = false
  var spares: [String]
  /// Why no further spare segment can be made at present.
  var shortage: JournalError?
  var released = JournalPosition(segment: 0, offset: 0)
  /// Segments that readers are in, and how many.
  var pins: [UInt64: Int] = [:]

  var damages: Set<JournalDamage>
  var appendedRecords: UInt64 = 0
  var syncs: UInt64 = 0
  var lastSync = Duration.zero

  /// Keeps other processes out until the journal is closed.
  private var lock: JournalFile?

  init(_ recovery: Recovery, limits: JournalLimits, lock: JournalFile) {
    self.limits = limits
    self.lock = lock
    tail = recovery.tail
    tailCapacity = recovery.kept.last?.capacity ?? 0
    durableEnd = recovery.tail
    kept = recovery.kept
    spares = recovery.spares
    damages = Set(recovery.damages)
  }

  // MARK: - Callers

  func append(_ record: borrowing JournalRecord, _ header: RecordHeader,
              _ completion: @escaping @Sendable (Result<JournalPosition, JournalError>) -> Void
  ) throws(JournalError) -> JournalPosition {
    condition.lock()
    defer { condition.unlock() }
    try admit(header.paddedLength)
    let position = tail
    let batch: CommitBatch
    if let last = queue.last, last.end == position {
      batch = last
    } else {
      batch = CommitBatch(start: position, storage: storage)
      storage = []
      queue.append(batch)
    }
    batch.entries.append(.init(index: batch.bytes.count, completion: completion))
    header.append(record, to: &batch.bytes)
    tail.offset += UInt32(header.paddedLength)
    waitingRecords += 1
    waitingBytes += header.paddedLength
    if isWriterIdle {
      isWriterIdle = false
      condition.broadcast()
    }
    return position
  }

  /// Makes `tail` a place for so many bytes, or says why there is none.
  private func admit(_ byteCount: Int) throws(JournalError) {
    if let refusal { throw refusal }
    if isClosing { throw .closed }
    // One record is always taken, however large.
    guard waitingBytes == 0 || waitingBytes + byteCount <= limits.maximumWaitingBytes else {
      throw .busy(waiting: waitingBytes, limit: limits.maximumWaitingBytes)
    }
    guard Int(tail.offset) + byteCount > tailCapacity else { return }
    let used = keptBytes
    guard used + limits.segmentBytes <= limits.maximumBytes else {
      throw .full(used: used, limit: limits.maximumBytes)
    }
    if spares.count <= promisedSegments, let shortage { throw shortage }
    if !kept.isEmpty { kept[kept.count - 1].end = tail.offset }
    tail = JournalPosition(segment: tail.segment + 1, offset: UInt32(SegmentHeader.byteCount))
    tailCapacity = limits.segmentBytes
    kept.append(KeptSegment(segment: tail.segment, fileBytes: tailCapacity, capacity: tailCapacity))
    promisedSegments += 1
    supplyWork.signal()
  }

  func release(before position: JournalPosition) {
    condition.withLock {
      guard released < position else { return }
      released = position
      if let first = kept.first, isReleased(first) { supplyWork.signal() }
    }
  }

  var keptBytes: Int { kept.reduce(0) { $0 + $1.fileBytes } }

  /// All its records lie before the released position, and it gets no more.
  func isReleased(_ segment: KeptSegment) -> Bool {
    guard segment.segment < durableEnd.segment, pins.keys.allSatisfy({ $0 > segment.segment }),
      let end = segment.end
    else { return false }
    return released >= JournalPosition(segment: segment.segment, offset: end)
  }

  // MARK: - The writer

  /// What waits, in order; nil when the journal is closed and nothing waits.
  func nextBatches() -> [CommitBatch]? {
    condition.withLock {
      while queue.isEmpty, !isClosing {
        isWriterIdle = true
        condition.wait()
      }
      isWriterIdle = false
      defer { queue = [] }
      return queue.isEmpty ? nil : queue
    }
  }

  func settled(_ batch: CommitBatch, after duration: Duration) {
    condition.withLock {
      durableEnd = batch.end
      forget(batch)
      appendedRecords += UInt64(batch.entries.count)
      syncs += 1
      lastSync = duration
    }
  }

  /// To be filled again, unless it is so large that it would rather be given back.
  func reuse(_ bytes: consuming [UInt8]) {
    guard bytes.capacity <= Self.reusedBytes else { return }
    bytes.removeAll(keepingCapacity: true)
    condition.withLock { storage = bytes }
  }

  /// 8 MiB: a batch at full rate; what a burst needed beyond is given back.
  private static let reusedBytes = 8 << 20

  /// Nothing is taken from now on; returns what waited. All that was promised behind `durableEnd` is void.
  func refuse(_ error: JournalError, _ batches: [CommitBatch]) -> [CommitBatch] {
    condition.withLock {
      refusal = error
      isSettling = true
      let failed = batches + queue
      queue = []
      for batch in failed { forget(batch) }
      kept.removeLast(promisedSegments + (isBeginning ? 1 : 0))
      (promisedSegments, isBeginning) = (0, false)
      tail = durableEnd
      if !kept.isEmpty, kept[kept.count - 1].capacity > 0 { kept[kept.count - 1].end = nil }
      tailCapacity = kept.last?.capacity ?? 0
      return failed
    }
  }

  /// All have heard: when a segment can be made again the journal goes on.
  func settledRefusal() {
    condition.withLock {
      isSettling = false
      // A segment that was released meanwhile has ended the shortage already.
      if case .diskFull = refusal, !spares.isEmpty { refusal = nil }
    }
    supplyWork.signal()
  }

  private func forget(_ batch: CommitBatch) {
    waitingRecords -= batch.entries.count
    waitingBytes -= batch.bytes.count
  }

  /// Waits until there is one, or until it is known that there will be none.
  func claimSpare() throws(JournalError) -> String {
    condition.lock()
    defer { condition.unlock() }
    while spares.isEmpty {
      if let shortage { throw shortage }
      condition.wait()
    }
    promisedSegments -= 1
    isBeginning = true
    return spares.removeLast()
  }

  /// The writer's segment is there, in its place.
  func beganSegment(_ start: JournalPosition) {
    condition.withLock {
      isBeginning = false
      durableEnd = start
    }
    supplyWork.signal()
  }

  func close() {
    condition.withLock {
      isClosing = true
      condition.broadcast()
      while !hasWriterEnded || !hasSupplyEnded { condition.wait() }
      lock = nil
    }
  }

  func end(_ part: ReferenceWritableKeyPath<JournalState, Bool>) {
    condition.withLock {
      self[keyPath: part] = true
      condition.broadcast()
    }
    supplyWork.signal()
  }
}
