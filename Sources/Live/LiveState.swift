// The latest reading of each device and a ring of the last readings: pure state, no lock of its own.
internal import PostgresStore
internal import Telemetry

/// What a feed knows. `LiveFeed` guards it with its lock.
struct LiveState {
  /// A published reading. The texts are beside the row, whose slices mean nothing here.
  struct Entry {
    var reading: Reading
    var device: Int
    var sourceSystem: String
    var score: Float
    var isAnomaly: Bool
    var ingestedAt: Int64
    /// 0: it was loaded from the table.
    var position: UInt64
  }

  struct Device {
    let id: String
    var latest: Entry?
    /// Readings of it that were published, and those of them that are anomalies.
    var published: UInt64 = 0
    var anomalies: UInt64 = 0
  }

  private let limits: LiveLimits
  private(set) var devices: [Device] = []
  private(set) var indexByID: [String: Int] = [:]
  private var ring: [Entry] = []
  /// Positions in the ring: `start ..< end`.
  private(set) var start: UInt64 = 1
  private(set) var end: UInt64 = 1
  private var published: UInt64 = 0
  private var anomalies: UInt64 = 0
  /// The latest storing time that was seen.
  private(set) var horizon: Int64 = 0

  init(limits: LiveLimits) { self.limits = limits }

  /// A new device beyond the limit was left out.
  private(set) var isFull = false

  // MARK: Publishing

  /// Adds a committed batch, in the order of commits. What is older than its device's latest is left out.
  mutating func publish(_ batch: borrowing ReadingBatch, except: [Int], ingestedAt: Int64, scores: [Float],
                        anomalies isAnomaly: [Bool]) {
    let refused = Set(except)
    var slice = TextSlice(offset: 0, byteCount: 0)
    var device: Int?
    horizon = max(horizon, ingestedAt)
    for index in batch.readings.indices where refused.isEmpty || !refused.contains(index) {
      let reading = batch.readings[index]
      if reading.deviceID != slice {
        slice = reading.deviceID
        device = self.device(batch.string(slice))
      }
      guard let device, movesLatest(reading, device, ingestedAt) else { continue }
      append(Entry(
        reading: reading, device: device, sourceSystem: Self.sourceSystem(of: reading, in: batch),
        score: scores.isEmpty ? 1 : scores[index], isAnomaly: isAnomaly.isEmpty ? false : isAnomaly[index],
        ingestedAt: ingestedAt, position: end))
    }
  }

  private func movesLatest(_ reading: borrowing Reading, _ device: Int, _ ingestedAt: Int64) -> Bool {
    guard let latest = devices[device].latest else { return true }
    // Loaded after its commit and before it was published: it is the latest already.
    if latest.position == 0, latest.ingestedAt == ingestedAt { return reading.timestamp > latest.reading.timestamp }
    return reading.timestamp >= latest.reading.timestamp
  }

  private mutating func append(_ entry: Entry) {
    devices[entry.device].latest = entry
    devices[entry.device].published += 1
    published += 1
    if entry.isAnomaly {
      devices[entry.device].anomalies += 1
      anomalies += 1
    }
    if ring.count < limits.ringCount {
      ring.append(entry)
    } else {
      ring[Int((end - 1) % UInt64(limits.ringCount))] = entry
      start += 1
    }
    end += 1
  }

  private mutating func device(_ id: String) -> Int? {
    if let index = indexByID[id] { return index }
    guard devices.count < limits.maximumDevices else {
      isFull = true
      return nil
    }
    devices.append(Device(id: id))
    indexByID[id] = devices.count - 1
    return devices.count - 1
  }

  private static func sourceSystem(of reading: Reading, in batch: borrowing ReadingBatch) -> String {
    reading.sourceSystem.byteCount == 0 ? "scada" : batch.string(reading.sourceSystem)
  }

  /// Takes in what the table has; what was published meanwhile is newer or as new. Positions begin anew: nobody has
  /// one.
  mutating func load(_ stored: StoredReadings) {
    (ring, start, end) = ([], 1, 1)
    for index in devices.indices { devices[index].latest?.position = 0 }
    for index in stored.batch.readings.indices {
      let reading = stored.batch.readings[index]
      horizon = max(horizon, stored.ingestedAt[index])
      guard let device = device(stored.batch.string(reading.deviceID)),
            reading.timestamp > devices[device].latest?.reading.timestamp ?? .min else { continue }
      devices[device].latest = Entry(
        reading: reading, device: device, sourceSystem: Self.sourceSystem(of: reading, in: stored.batch),
        score: stored.scores[index], isAnomaly: stored.anomalies[index], ingestedAt: stored.ingestedAt[index],
        position: 0)
    }
  }

  // MARK: Reading

  /// - Precondition: `start <= position < end`.
  func entry(at position: UInt64) -> Entry { ring[Int((position - 1) % UInt64(limits.ringCount))] }

  /// How many of the published readings a filter lets through, since the beginning.
  func publishedCount(_ filter: LiveFilter) -> UInt64 {
    if filter.deviceIDs.isEmpty { return filter.anomaliesOnly ? anomalies : published }
    return filter.deviceIDs.reduce(0) { sum, id in
      guard let index = indexByID[id] else { return sum }
      return sum + (filter.anomaliesOnly ? devices[index].anomalies : devices[index].published)
    }
  }

  /// The devices of a filter that have a latest reading that it lets through.
  func devices(of filter: LiveFilter) -> [Int] {
    let chosen = filter.deviceIDs.isEmpty ? Array(devices.indices) : filter.deviceIDs.compactMap { indexByID[$0] }
    return chosen.filter { index in
      devices[index].latest.map { $0.isAnomaly || !filter.anomaliesOnly } ?? false
    }
  }
}
