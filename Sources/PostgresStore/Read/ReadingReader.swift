// Answers queries over the stored readings: pages and exports.
import Foundation
package import Logging
package import Status

/// Reads from one database. From any task; no call blocks the shared pool.
package final class ReadingReader: Sendable {
  /// Connections for pages (setting).
  package static let defaultConnections = 4
  /// Exports at once, each on a connection of its own; the next one gets RESOURCE_EXHAUSTED.
  package static let maximumExports = 4
  /// A query without a deadline, and one piece of an export, may take this long.
  package static let longestQuery: Duration = .seconds(30)

  private let pool: ReaderPool
  /// Of its own: whether the database is there must not wait for queries.
  private let pingLane: ReaderLane
  private let exports: ExportLanes

  /// Connects on first use.
  package init(_ location: PostgresLocation, connections: Int = ReadingReader.defaultConnections, logger: Logger) {
    pool = ReaderPool(location, size: connections, logger: logger)
    pingLane = ReaderLane(location, logger: logger)
    exports = ExportLanes(location, maximum: Self.maximumExports, logger: logger)
  }

  /// Whether the database answers, for health checks: returns or throws within `timeout` and half a second, also when
  /// the server is stopped in the middle of something.
  package func ping(timeout: Duration = .seconds(2)) async throws(RPCStatus) {
    do throws(PostgresError) {
      try await pingLane.run(deadline: .now + timeout) { connection throws(PostgresError) in
        _ = try connection.query("SELECT 1")
      }
    } catch {
      throw error.rpcStatus
    }
  }

  /// One page. Throws INVALID_ARGUMENT, DEADLINE_EXCEEDED, CANCELLED, UNAVAILABLE.
  /// - Parameter admit: asked when its turn comes, in the caller's task; what it throws ends the query.
  package func page(_ query: ReadingQuery, deadline: ContinuousClock.Instant? = nil,
                    admit: () throws(RPCStatus) -> Void = {}) async throws(RPCStatus) -> StoredPage {
    let walk = try Self.walk(query)
    let deadline = min(deadline ?? .now + Self.longestQuery, .now + Self.longestQuery)
    let (readings, rest) = try await pool.withLane(deadline: deadline) { lane async throws(RPCStatus) in
      try admit()
      return try await Self.next(walk, query.limit, lane, deadline)
    }
    let token = rest.isFinished ? nil : rest.key.map {
      PageToken(filterHash: query.filterHash, range: rest.range, key: $0).text
    }
    return StoredPage(readings: readings, nextPageToken: token ?? "")
  }

  /// All readings of a query, piece by piece; `limit` and `pageToken` do not matter. Memory is one piece whatever the
  /// range, and the database does nothing while nobody pulls. What is stored meanwhile, behind the point that has been
  /// reached, is not seen.
  package func export(_ query: ReadingQuery) async throws(RPCStatus) -> ReadingExport {
    var query = query
    query.limit = ReadingQuery.defaultLimit
    query.pageToken = ""
    let walk = try Self.walk(query)
    guard let loan = await exports.take() else {
      throw .overloaded(subject: "exports", "\(Self.maximumExports) exports run already.", retryAfter: .seconds(5))
    }
    return ReadingExport(walk, loan)
  }

  static func next(_ walk: ReadingWalk, _ limit: Int, _ lane: ReaderLane,
                   _ deadline: ContinuousClock.Instant) async throws(RPCStatus) -> (StoredReadings, ReadingWalk) {
    do throws(PostgresError) {
      return try await lane.run(deadline: deadline) { connection throws(PostgresError) in
        var walk = walk
        let readings = try walk.next(limit, on: connection)
        return (readings, walk)
      }
    } catch {
      throw error.rpcStatus
    }
  }

  private static func walk(_ query: ReadingQuery) throws(RPCStatus) -> ReadingWalk {
    try query.validate()
    guard query.pageToken.isEmpty else {
      let token = try PageToken(query.pageToken, for: query)
      return ReadingWalk(query, token.range, after: token.key)
    }
    return ReadingWalk(query, query.range(now: Int64(Date().timeIntervalSince1970 * 1_000_000)), after: nil)
  }
}

/// An export that is under way: pull until nil. Dropping it ends it.
package actor ReadingExport {
  /// Readings in a piece: what lies in memory for each export.
  static let pieceCount = 5000

  private var walk: ReadingWalk
  private let loan: ExportLanes.Loan

  init(_ walk: ReadingWalk, _ loan: ExportLanes.Loan) {
    self.walk = walk
    self.loan = loan
  }

  /// The next readings, never empty; nil at the end. One pull at a time. After an error the same piece may be pulled
  /// again.
  package func next() async throws(RPCStatus) -> StoredReadings? {
    guard !walk.isFinished else { return nil }
    let deadline = ContinuousClock.now + ReadingReader.longestQuery
    let (readings, rest) = try await ReadingReader.next(walk, Self.pieceCount, loan.lane, deadline)
    walk = rest
    return readings.count == 0 ? nil : readings
  }
}
