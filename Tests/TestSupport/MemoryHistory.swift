// A table in memory for live feeds: what was stored, in the order of storing.
import Live
package import PostgresStore
package import Status
import Synchronization
import Telemetry

/// Stored readings of one signal, temperature. Any thread.
package final class MemoryHistory: LiveHistory, Sendable {
  package struct Row: Sendable, Equatable {
    package var device: String
    package var timestamp: Int64
    package var value: Float
    package var ingestedAt: Int64

    package init(_ device: String, _ timestamp: Int64, _ value: Float, ingestedAt: Int64) {
      self.device = device
      self.timestamp = timestamp
      self.value = value
      self.ingestedAt = ingestedAt
    }
  }

  private struct State {
    var rows: [Row] = []
    var failure: RPCStatus?
    /// Called once, before the next answer.
    var interlude: (@Sendable () -> Void)?
  }

  /// Rows of a piece: a replay needs several.
  private static let pieceCount = 7
  private let state = Mutex(State())

  package init() {}

  package func store(_ rows: [Row]) { state.withLock { $0.rows += rows } }

  /// The next question fails.
  package func failNext(_ failure: RPCStatus) { state.withLock { $0.failure = failure } }

  /// Something that happens after the next answer was read and before it is given.
  package func afterNextAnswer(_ interlude: @escaping @Sendable () -> Void) {
    state.withLock { $0.interlude = interlude }
  }

  package func latest(limit: Int) async throws(RPCStatus) -> StoredReadings {
    try answer { rows in
      var newest: [String: Row] = [:]
      for row in rows where row.timestamp >= newest[row.device]?.timestamp ?? .min { newest[row.device] = row }
      return StoredReadings(newest.values.sorted { $0.device < $1.device }.prefix(limit).map(\.self))
    }
  }

  package func replay(from start: ReplayPoint, devices: [String]) async throws(RPCStatus)
    -> (StoredReadings, ReplayPoint)? {
    try answer { rows in
      let later = rows.filter { row in
        row.ingestedAt >= start.ingestedAt && (devices.isEmpty || devices.contains(row.device))
      }
      let piece = Array(later.dropFirst(start.skip).prefix(Self.pieceCount))
      guard let last = piece.last else { return nil }
      var next = ReplayPoint(ingestedAt: last.ingestedAt)
      next.skip = later.prefix(start.skip + piece.count).count { $0.ingestedAt == last.ingestedAt }
      return (StoredReadings(piece), next)
    }
  }

  package func count(_ range: Range<Int64>, devices: [String]) async throws(RPCStatus) -> UInt64 {
    try answer { rows in
      UInt64(rows.count { range.contains($0.ingestedAt) && (devices.isEmpty || devices.contains($0.device)) })
    }
  }

  package func newest(of devices: [String], storedBefore ingestedAt: Int64) async throws(RPCStatus) -> [String: Int64] {
    try answer { rows in
      var newest: [String: Int64] = [:]
      for row in rows where devices.contains(row.device) && row.ingestedAt < ingestedAt {
        newest[row.device] = max(newest[row.device] ?? .min, row.timestamp)
      }
      return newest
    }
  }

  private func answer<Value: Sendable>(_ body: ([Row]) -> Value) throws(RPCStatus) -> Value {
    let (rows, failure, interlude) = state.withLock { state in
      defer { (state.failure, state.interlude) = (nil, nil) }
      return (state.rows, state.failure, state.interlude)
    }
    if let failure { throw failure }
    let value = body(rows)
    interlude?()
    return value
  }
}

extension StoredReadings {
  fileprivate init(_ rows: [MemoryHistory.Row]) {
    self.init()
    for row in rows {
      var reading = Reading(timestamp: row.timestamp, deviceID: batch.add(text: row.device.utf8))
      reading[.temperature] = row.value
      batch.readings.append(reading)
      scores.append(1)
      anomalies.append(false)
      ingestedAt.append(row.ingestedAt)
    }
  }
}
