// The port to the database: what a feed needs of what was stored before.
package import PostgresStore
package import Status

/// Stored readings by device and by the order of their storing.
package protocol LiveHistory: Sendable {
  /// The newest reading of each device, for at most `limit` devices.
  func latest(limit: Int) async throws(RPCStatus) -> StoredReadings
  /// The next readings in the order of storing; nil: no more now.
  func replay(from start: ReplayPoint, devices: [String]) async throws(RPCStatus) -> (StoredReadings, ReplayPoint)?
  /// Readings stored in a range of time, microseconds since 1970.
  func count(_ range: Range<Int64>, devices: [String]) async throws(RPCStatus) -> UInt64
  /// Time of the newest reading of each device among those stored before a moment.
  func newest(of devices: [String], storedBefore ingestedAt: Int64) async throws(RPCStatus) -> [String: Int64]
}

extension ReadingHistory: LiveHistory {}
