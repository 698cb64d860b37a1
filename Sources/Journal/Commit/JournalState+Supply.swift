// What the supply of segments asks of the shared state, and what readers do.
internal import Foundation

extension JournalState {
  enum SupplyWork {
    /// Its records are not needed any more; `keep` the file for a new segment, or remove it.
    case retire(KeptSegment, keep: Bool)
    case makeSpare
    case wait
    case end
  }

  func nextSupplyWork() -> SupplyWork {
    condition.withLock {
      if hasWriterEnded { return .end }
      if let first = kept.first, isReleased(first) {
        kept.removeFirst()
        let keep = first.fileBytes == limits.segmentBytes && spares.count < limits.recycledSegments
        return .retire(first, keep: keep)
      }
      let files = kept.count - promisedSegments + spares.count
      let hasRoom = promisedSegments > spares.count || (files + 1) * limits.segmentBytes <= limits.maximumBytes
      return !isSettling && spares.count <= promisedSegments && hasRoom ? .makeSpare : .wait
    }
  }

  var isShort: Bool { condition.withLock { shortage != nil } }

  /// Returns whether a shortage is over.
  func addSpare(_ path: String) -> Bool {
    condition.withLock {
      spares.append(path)
      defer { shortage = nil }
      // What failed for good stays so.
      if case .diskFull = refusal, !isSettling { refusal = nil }
      condition.broadcast()
      return shortage != nil
    }
  }

  /// Returns whether it is news.
  func lacksSpare(_ error: JournalError) -> Bool {
    condition.withLock {
      defer { shortage = error }
      condition.broadcast()
      return shortage == nil
    }
  }

  // MARK: - Readers

  /// Nothing from `segment` on is retired before `unpin`. Returns what there is to read.
  func pin(_ segment: UInt64) -> (segments: [KeptSegment], durableEnd: JournalPosition) {
    condition.withLock {
      pins[segment, default: 0] += 1
      return (kept, durableEnd)
    }
  }

  func unpin(_ segment: UInt64) {
    condition.withLock {
      pins[segment, default: 1] -= 1
      if pins[segment] == 0 { pins[segment] = nil }
    }
    supplyWork.signal()
  }

  /// Returns whether it is news.
  func found(_ damage: JournalDamage) -> Bool {
    condition.withLock { damages.insert(damage).inserted }
  }

  var status: JournalStatus {
    condition.withLock {
      JournalStatus(
        condition: statusCondition,
        usedBytes: keptBytes + max(0, spares.count - promisedSegments) * limits.segmentBytes,
        limitBytes: limits.maximumBytes,
        oldest: kept.first.map {
          JournalPosition(segment: $0.segment, offset: UInt32(SegmentHeader.byteCount))
        } ?? tail,
        end: tail, durableEnd: durableEnd, waitingRecords: waitingRecords, waitingBytes: waitingBytes,
        spareSegments: spares.count, appendedRecords: appendedRecords, syncs: syncs, lastSync: lastSync,
        damages: damages.sorted { $0.position < $1.position })
    }
  }

  private var statusCondition: JournalStatus.Condition {
    if let refusal {
      if case .diskFull = refusal { return .full(refusal) }
      return .failed(refusal)
    }
    if let shortage { return .full(shortage) }
    let isAtLimit = keptBytes + limits.segmentBytes > limits.maximumBytes
    return isAtLimit ? .full(.full(used: keptBytes, limit: limits.maximumBytes)) : .ok
  }
}
