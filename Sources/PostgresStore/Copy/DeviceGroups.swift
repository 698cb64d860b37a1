// Which order puts the rows of each device together, in time linear in the rows.
import Telemetry

/// Groups rows by device, keeping their order within a device. Its memory is reused.
///
/// A counting sort over interned ids. The table of ids is our own because a `Dictionary` would want each id as an
/// array, an allocation a row; its hash is seeded at random, so that no sender can make its ids collide.
struct DeviceGroups {
  private let seed = UInt64.random(in: .min ... .max)
  private let multiplier = UInt64.random(in: .min ... .max) | 1
  /// Open addressing, a power of two, at most half full; -1 = free.
  private var slots: [Int32] = []
  /// By group: where its id lies, and its hash.
  private var ids: [(slice: TextSlice, hash: Int)] = []
  private var groupOfRow: [Int32] = []
  private var nextPlace: [Int32] = []
  private var order: [Int32] = []

  /// The indices of `readings`, grouped; empty = they are grouped already.
  mutating func order(of readings: borrowing Span<Reading>, _ text: borrowing Span<UInt8>) -> [Int32] {
    guard hasSeveralTexts(readings) else { return [] }
    let runs = assignGroups(readings, text)
    guard runs > ids.count else { return [] }
    countRows(in: groupsSortedByID(text))
    order.removeAll(keepingCapacity: true)
    order.append(contentsOf: repeatElement(0, count: readings.count))
    for row in 0..<readings.count {
      let group = Int(groupOfRow[row])
      order[Int(nextPlace[group])] = Int32(truncatingIfNeeded: row)
      nextPlace[group] += 1
    }
    return order
  }

  /// False for a block: all its readings share one text.
  private func hasSeveralTexts(_ readings: borrowing Span<Reading>) -> Bool {
    guard readings.count > 1 else { return false }
    let first = readings[0].deviceID
    for row in 1..<readings.count {
      let slice = readings[row].deviceID
      if slice.offset != first.offset || slice.byteCount != first.byteCount { return true }
    }
    return false
  }

  /// Numbers the devices; returns the number of runs of one device.
  private mutating func assignGroups(_ readings: borrowing Span<Reading>, _ text: borrowing Span<UInt8>) -> Int {
    ids.removeAll(keepingCapacity: true)
    groupOfRow.removeAll(keepingCapacity: true)
    clearSlots(forAtLeast: 64)
    var runs = 0
    var previous = TextSlice(offset: .max, byteCount: 0)
    var group: Int32 = 0
    for row in 0..<readings.count {
      let slice = readings[row].deviceID
      if slice.offset != previous.offset || slice.byteCount != previous.byteCount {
        group = self.group(of: slice, text)
        previous = slice
        runs += 1
      }
      groupOfRow.append(group)
    }
    return runs
  }

  private mutating func group(of slice: TextSlice, _ text: borrowing Span<UInt8>) -> Int32 {
    let hash = hash(text.extracting(slice.range))
    var slot = hash & (slots.count - 1)
    while slots[slot] >= 0 {
      let known = ids[Int(slots[slot])]
      if known.hash == hash, Self.areEqual(known.slice, slice, text) { return slots[slot] }
      slot = (slot + 1) & (slots.count - 1)
    }
    let group = Int32(truncatingIfNeeded: ids.count)
    slots[slot] = group
    ids.append((slice, hash))
    if ids.count * 2 > slots.count { rehash() }
    return group
  }

  private mutating func clearSlots(forAtLeast count: Int) {
    let size = max(count, slots.count)
    slots.removeAll(keepingCapacity: true)
    slots.append(contentsOf: repeatElement(-1, count: size))
  }

  private mutating func rehash() {
    clearSlots(forAtLeast: slots.count * 2)
    for (group, id) in ids.enumerated() {
      var slot = id.hash & (slots.count - 1)
      while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
      slots[slot] = Int32(truncatingIfNeeded: group)
    }
  }

  /// In the order of the ids, so that neighbours in the batch are neighbours in the index.
  private func groupsSortedByID(_ text: borrowing Span<UInt8>) -> [Int32] {
    var sorted: [(id: [UInt8], group: Int32)] = []
    sorted.reserveCapacity(ids.count)
    for (group, id) in ids.enumerated() {
      var bytes: [UInt8] = []
      bytes.reserveCapacity(Int(id.slice.byteCount))
      for index in id.slice.range { bytes.append(text[index]) }
      sorted.append((bytes, Int32(truncatingIfNeeded: group)))
    }
    sorted.sort { $0.id.lexicographicallyPrecedes($1.id) }
    return sorted.map(\.group)
  }

  /// Where each group's rows begin.
  private mutating func countRows(in groups: [Int32]) {
    nextPlace.removeAll(keepingCapacity: true)
    nextPlace.append(contentsOf: repeatElement(0, count: ids.count))
    for group in groupOfRow { nextPlace[Int(group)] += 1 }
    var place: Int32 = 0
    for group in groups {
      let count = nextPlace[Int(group)]
      nextPlace[Int(group)] = place
      place += count
    }
  }

  /// Multiply and fold, eight bytes at a time.
  private func hash(_ bytes: Span<UInt8>) -> Int {
    var hash = seed ^ UInt64(bytes.count)
    var word: UInt64 = 0
    for index in bytes.indices {
      word = word << 8 | UInt64(bytes[index])
      guard index & 7 == 7 || index == bytes.count - 1 else { continue }
      let (high, low) = (hash ^ word).multipliedFullWidth(by: multiplier)
      hash = high ^ low
      word = 0
    }
    return Int(hash >> 1)
  }

  private static func areEqual(_ one: TextSlice, _ other: TextSlice, _ text: borrowing Span<UInt8>) -> Bool {
    guard one.byteCount == other.byteCount else { return false }
    for index in 0..<Int(one.byteCount) where text[Int(one.offset) + index] != text[Int(other.offset) + index] {
      return false
    }
    return true
  }
}
