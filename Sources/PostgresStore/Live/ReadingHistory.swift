// What live subscribers need of the table: the latest reading of each device, and what was stored since a moment.
import Foundation
package import Logging
package import Status

/// Where a replay goes on: after the first `skip` readings stored at `ingestedAt`, in the order of the replay.
package struct ReplayPoint: Sendable, Equatable {
  /// Microseconds since 1970-01-01T00:00:00Z.
  package var ingestedAt: Int64
  package var skip = 0
  /// Of the next slice of storing times, microseconds.
  var width = ReadingHistory.firstSlice

  package init(ingestedAt: Int64) { self.ingestedAt = ingestedAt }
}

/// Reads one database in the order of storing. From any task; no call blocks the shared pool.
package final class ReadingHistory: Sendable {
  /// Connections: replays take turns piece by piece.
  static let connections = 2
  /// Readings of a replay in memory.
  package static let pieceCount = 2000
  /// A statement may take so long.
  static let longestStep: Duration = .seconds(30)
  /// Storing times are read slice by slice, for the readings of a slice are sorted: 1 s first, 1 ms to 1 day.
  static let sliceWidths: ClosedRange<Int64> = 1000...86_400_000_000
  static let firstSlice: Int64 = 1_000_000

  private let pool: ReaderPool

  /// Connects on first use.
  package init(_ location: PostgresLocation, logger: Logger) {
    pool = ReaderPool(location, size: Self.connections, logger: logger)
  }

  /// The newest reading of each device, for at most `limit` devices in the order of their ids. The index jumps from
  /// device to device; the table is not read.
  package func latest(limit: Int) async throws(RPCStatus) -> StoredReadings {
    try await step { connection throws(PostgresError) in
      try ReadingSelect.rows(connection, """
        WITH RECURSIVE device AS (
          (SELECT device_id FROM telemetry ORDER BY device_id LIMIT 1)
          UNION ALL
          SELECT (SELECT device_id FROM telemetry WHERE telemetry.device_id > device.device_id
                  ORDER BY device_id LIMIT 1)
          FROM device WHERE device.device_id IS NOT NULL
        )
        SELECT \(ReadingSelect.columns(of: "newest")) FROM device,
          LATERAL (SELECT * FROM telemetry WHERE telemetry.device_id = device.device_id
                   ORDER BY timestamp DESC LIMIT 1) newest
        WHERE device.device_id IS NOT NULL LIMIT $1
        """, [.int64(Int64(limit))])
    }
  }

  /// The next readings in the order of storing, and where to go on; nil: there are no more now, go on from the same
  /// point later. What becomes visible was stored later than all that is: one writer commits in the order of its times.
  package func replay(from start: ReplayPoint, devices: [String]) async throws(RPCStatus)
    -> (StoredReadings, ReplayPoint)? {
    var point = start
    // A minute ahead: the clock may have been set back.
    let end = Int64(Date().timeIntervalSince1970 * 1_000_000) + 60_000_000
    while point.ingestedAt < end {
      let (from, slice) = (point, point.ingestedAt..<min(point.ingestedAt + point.width, end))
      let piece = try await step { connection throws(PostgresError) in
        try Self.piece(connection, slice, skip: from.skip, devices)
      }
      let isFull = piece.count == Self.pieceCount
      point.width = isFull ? max(point.width / 2, Self.sliceWidths.lowerBound)
        : min(point.width * 4, Self.sliceWidths.upperBound)
      guard let last = piece.ingestedAt.last else {
        (point.ingestedAt, point.skip) = (slice.upperBound, 0)
        continue
      }
      let same = piece.ingestedAt.reversed().prefix { $0 == last }.count
      point.skip = last == from.ingestedAt ? from.skip + same : same
      point.ingestedAt = last
      return (piece, point)
    }
    return nil
  }

  private static func piece(_ connection: PostgresConnection, _ slice: Range<Int64>, skip: Int,
                            _ devices: [String]) throws(PostgresError) -> StoredReadings {
    try ReadingSelect.rows(connection, """
      SELECT \(ReadingSelect.columns(of: "telemetry")) FROM telemetry WHERE \(isStored(devices))
      ORDER BY ingestion_timestamp, device_id, timestamp, \(ReadingSelect.tieBreak)
      LIMIT \(pieceCount) OFFSET \(skip)
      """, parameters(slice, devices))
  }

  private static func isStored(_ devices: [String]) -> String {
    "ingestion_timestamp >= $1 AND ingestion_timestamp < $2" + (devices.isEmpty ? "" : " AND device_id = ANY($3)")
  }

  private static func parameters(_ slice: Range<Int64>, _ devices: [String]) -> [PostgresValue] {
    [.timestamp(slice.lowerBound), .timestamp(slice.upperBound)] + (devices.isEmpty ? [] : [.texts(devices)])
  }

  /// Readings stored in a range of time, for a gap.
  package func count(_ range: Range<Int64>, devices: [String]) async throws(RPCStatus) -> UInt64 {
    try await step { connection throws(PostgresError) in
      let rows = try connection.query("SELECT count(*) FROM telemetry WHERE \(Self.isStored(devices))",
                                      Self.parameters(range, devices))
      return UInt64(clamping: rows.int64(0, 0))
    }
  }

  /// Time of the newest reading of each of these devices among those stored before a moment.
  package func newest(of devices: [String], storedBefore ingestedAt: Int64) async throws(RPCStatus) -> [String: Int64] {
    try await step { connection throws(PostgresError) in
      let rows = try connection.query("""
        SELECT device.id, newest.timestamp FROM unnest($1::text[]) AS device (id),
          LATERAL (SELECT timestamp FROM telemetry WHERE device_id = device.id AND ingestion_timestamp < $2
                   ORDER BY timestamp DESC LIMIT 1) newest
        """, [.texts(devices), .timestamp(ingestedAt)])
      return Dictionary(uniqueKeysWithValues: (0..<rows.count).map { (rows.text($0, 0), rows.timestamp($0, 1)) })
    }
  }

  private func step<Value: Sendable>(
    _ body: @Sendable (PostgresConnection) throws(PostgresError) -> Value
  ) async throws(RPCStatus) -> Value {
    let deadline = ContinuousClock.now + Self.longestStep
    return try await pool.withLane(deadline: deadline) { lane async throws(RPCStatus) in
      do throws(PostgresError) {
        return try await lane.run(deadline: deadline, body)
      } catch {
        throw error.rpcStatus
      }
    }
  }
}
