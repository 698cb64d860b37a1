// Brings a subscriber that comes back up to date, from the table.
internal import Foundation
internal import PostgresStore
internal import Status
internal import Telemetry

/// Reads what was stored since a moment, in the order of storing, and leaves out what would not have been sent:
/// readings older than what their device had then. What the last reading's transaction stored comes again, for it may
/// have been received in part.
struct LiveReplay: Sendable {
  /// What was sent already.
  struct Seen: Sendable {
    /// By device: time of the newest reading.
    var newest: [String: Int64] = [:]
    var lastIngestedAt: Int64 = 0

    func has(_ entry: LiveState.Entry, of device: String) -> Bool {
      entry.ingestedAt <= lastIngestedAt && entry.reading.timestamp <= newest[device] ?? .min
    }
  }

  let filter: LiveFilter
  /// Storing time from which on everything is sent.
  private(set) var start: Int64
  private(set) var seen = Seen()
  private var point: ReplayPoint
  private var isBegun = false

  init(from start: Int64, _ filter: LiveFilter) {
    self.start = start
    self.filter = filter
    point = ReplayPoint(ingestedAt: start)
    seen.lastIngestedAt = start - 1
  }

  /// The next readings, or none though there are more; nil at the end.
  mutating func next(_ history: any LiveHistory, _ limits: LiveLimits) async throws(RPCStatus) -> LivePiece? {
    if !isBegun {
      isBegun = true
      let oldest = Int64(Date().timeIntervalSince1970 * 1_000_000) - limits.longestResume.microseconds
      if start < oldest { return try await leaveOut(upTo: oldest, history) }
    }
    guard let (stored, next) = try await history.replay(from: point, devices: filter.deviceIDs) else { return nil }
    try await learn(stored, history)
    point = next
    var piece = LivePiece()
    for index in stored.batch.readings.indices {
      let reading = stored.batch.readings[index]
      let device = stored.batch.string(reading.deviceID)
      seen.lastIngestedAt = stored.ingestedAt[index]
      guard reading.timestamp >= seen.newest[device] ?? .min else { continue }
      seen.newest[device] = reading.timestamp
      if filter.anomaliesOnly, !stored.anomalies[index] { continue }
      piece.append(stored, index, ResumeToken(epoch: 0, position: 0, ingestedAt: stored.ingestedAt[index]))
    }
    return piece
  }

  private mutating func leaveOut(upTo oldest: Int64, _ history: any LiveHistory) async throws(RPCStatus) -> LivePiece {
    var piece = LivePiece()
    piece.gap = try await history.count(start..<oldest, devices: filter.deviceIDs)
    piece.gapToken = ResumeToken(epoch: 0, position: 0, ingestedAt: oldest)
    start = oldest
    point = ReplayPoint(ingestedAt: oldest)
    return piece
  }

  /// What the devices of a piece had when the replay began.
  private mutating func learn(_ stored: StoredReadings, _ history: any LiveHistory) async throws(RPCStatus) {
    let devices = Set(stored.batch.readings.map { stored.batch.string($0.deviceID) })
    let unknown = devices.filter { seen.newest[$0] == nil }
    guard !unknown.isEmpty else { return }
    let newest = try await history.newest(of: unknown.sorted(), storedBefore: start)
    for device in unknown { seen.newest[device] = newest[device] ?? .min }
  }
}
