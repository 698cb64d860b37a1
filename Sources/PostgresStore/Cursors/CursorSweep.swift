// Deletes the cursors of producers that have not been heard of for long: a name costs a row for ever otherwise.
package import Logging
package import Status

/// Sweeps `producer_cursor` of one database. From any task; no call blocks the shared pool.
package final class CursorSweep: Sendable {
  /// Cursors looked at and deleted in one statement: locks are held shortly.
  static let batchCount = 500
  /// Pause between two sweeps: expiry is counted in days.
  package static let interval: Duration = .seconds(3600)
  /// A statement may take so long: the scan of a million cursors takes a second.
  static let longestStep: Duration = .seconds(30)
  /// Servers' own cursors ("~...", a few a start) prove that what is in a journal was stored. Nobody needs one longer
  /// than a server may be down and then go on from its journal, beside another one that sweeps: 30 days.
  package static let ownExpiry: Duration = .seconds(30 * 86_400)

  /// How long a producer's cursor is kept unused; nil = for ever.
  private let expiry: Duration?
  private let lane: ReaderLane
  private let logger: Logger

  package init(_ location: PostgresLocation, expiry: Duration?, logger: Logger) {
    lane = ReaderLane(location, logger: logger)
    self.expiry = expiry
    self.logger = logger
  }

  /// Sweeps now and once an interval, until the task is cancelled. `release` is as for `sweep`.
  package func run(release: @escaping @Sendable ([String]) -> [String]) async {
    while !Task.isCancelled {
      do throws(RPCStatus) {
        let count = try await sweep(release: release)
        if count > 0 { logger.notice("cursors of producers expired", metadata: ["count": "\(count)"]) }
      } catch {
        logger.warning("cursors could not be swept; the next try is in an hour",
                       metadata: ["error": "\(error.message)"])
      }
      // Cancelled: the loop ends.
      try? await Task.sleep(for: Self.interval)
    }
  }

  /// Deletes what is unused for too long; returns how many.
  /// - Parameter release: is given producers that look unused; forgets what it knows of them and returns those that
  ///   nobody uses now.
  package func sweep(release: @escaping @Sendable ([String]) -> [String]) async throws(RPCStatus) -> Int {
    var count = 0
    var last = ""
    while true {
      let before = last
      let unused = try await step { [self] connection throws(PostgresError) in
        try texts(connection, """
          SELECT producer_id FROM producer_cursor WHERE producer_id > $1 AND \(Self.isUnused)
          ORDER BY producer_id LIMIT \(Self.batchCount)
          """, .text(before))
      }
      guard let end = unused.last else { return count }
      last = end
      let released = release(unused)
      // Who comes back in between marks the cursor as used, or finds it gone: a row's lock lets one of both happen.
      count += try await step { [self] connection throws(PostgresError) in
        try texts(connection, "DELETE FROM producer_cursor WHERE producer_id = ANY($1) AND \(Self.isUnused) "
          + "RETURNING producer_id", .texts(released))
      }.count
    }
  }

  /// By the database's clock, which wrote the column. "~" is above all that clients' names are made of.
  private static let isUnused = """
    updated_at < NOW() - INTERVAL '1 second' * CASE WHEN producer_id < '~' THEN $2::bigint ELSE $3::bigint END
    """

  private func texts(_ connection: PostgresConnection, _ sql: String,
                     _ first: PostgresValue) throws(PostgresError) -> [String] {
    // A thousand years: never.
    let seconds = expiry?.components.seconds ?? 1000 * 365 * 86_400
    let rows = try connection.query(
      sql, [first, .int64(seconds), .int64(Self.ownExpiry.components.seconds)])
    return (0..<rows.count).map { rows.text($0, 0) }
  }

  private func step<Value: Sendable>(
    _ body: @Sendable (PostgresConnection) throws(PostgresError) -> Value
  ) async throws(RPCStatus) -> Value {
    do throws(PostgresError) {
      return try await lane.run(deadline: .now + Self.longestStep, body)
    } catch {
      throw error.rpcStatus
    }
  }
}
