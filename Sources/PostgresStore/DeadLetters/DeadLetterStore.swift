// Answers what DeadLetterService asks: lists dead letters, requeues and discards them.
package import Logging
package import Status

/// Works on `dead_letters` of one database. From any task; no call blocks the shared pool.
package final class DeadLetterStore: Sendable {
  /// Connections of its own: a requeue of millions must hold up neither queries nor the writer.
  static let connections = 2
  package static let limitRange = 1...1000
  package static let defaultLimit = 100
  /// Most ids in one call: they are one transaction, and a client has them from a page.
  package static let maximumIDs = 1000
  /// Dead letters a transaction, when a filter chooses them: locks are held shortly, and little is done again after a
  /// crash.
  static let transactionCount = 500
  /// Bytes of original readings a transaction, 4 MiB: memory. One dead letter is always taken.
  static let transactionBytes: Int64 = 4 << 20
  /// A page, a transaction: longer ones end with DEADLINE_EXCEEDED and have done nothing.
  static let longestStep: Duration = .seconds(30)

  private let pool: ReaderPool

  /// Connects on first use.
  package init(_ location: PostgresLocation, logger: Logger) {
    pool = ReaderPool(location, size: Self.connections, logger: logger)
  }

  /// One page, newest first. Throws INVALID_ARGUMENT, DEADLINE_EXCEEDED, CANCELLED, UNAVAILABLE.
  package func list(_ filter: DeadLetterFilter, limit: Int = DeadLetterStore.defaultLimit, pageToken: String = "",
                    deadline: ContinuousClock.Instant? = nil) async throws(RPCStatus) -> DeadLetterPage {
    guard Self.limitRange.contains(limit) else {
      throw .invalidField("limit", "\(limit) is not in 1..\(Self.limitRange.upperBound): use page_token for more")
    }
    let after = pageToken.isEmpty ? nil : try DeadLetterPageToken(pageToken, for: filter)
    let select = DeadLetterSelect(filter: filter, limit: limit, after: after)
    return try await pool.withLane(deadline: Self.step(deadline)) { lane async throws(RPCStatus) in
      try await Self.run(lane, deadline) { connection throws(PostgresError) in try select.run(connection) }
    }
  }

  /// Judges dead letters again; those that are valid now are stored and removed, the others get an attempt more. Ids
  /// are one transaction; what a filter chooses is done in several, oldest first, and what comes meanwhile is left
  /// alone. After an error the transactions before it stay done, and the same call goes on with the rest.
  /// Throws NOT_FOUND, DEADLINE_EXCEEDED, CANCELLED, UNAVAILABLE.
  package func requeue(_ selection: DeadLetterSelection, dryRun: Bool, deadline: ContinuousClock.Instant? = nil,
                       judge: @escaping DeadLetterJudge) async throws(RPCStatus) -> RequeueCount {
    var count = RequeueCount()
    try await forEachStep(selection, deadline) { ids, allOrNothing, connection throws(PostgresError) in
      var requeue = DeadLetterRequeue(connection, judge)
      let (step, missing) = dryRun ? try requeue.rehearse(ids) : try requeue.run(ids, allOrNothing: allOrNothing)
      return (step, missing)
    } counted: {
      count += $0
    }
    return count
  }

  /// Deletes dead letters for good; returns how many. Transactions as for `requeue`.
  package func discard(_ selection: DeadLetterSelection,
                       deadline: ContinuousClock.Instant? = nil) async throws(RPCStatus) -> Int {
    var count = 0
    try await forEachStep(selection, deadline) { ids, allOrNothing, connection throws(PostgresError) in
      try Self.discard(ids, allOrNothing, connection)
    } counted: {
      count += $0
    }
    return count
  }

  private static func discard(
    _ ids: [Int64], _ allOrNothing: Bool, _ connection: PostgresConnection
  ) throws(PostgresError) -> (Int, MissingDeadLetters?) {
    try connection.execute("BEGIN")
    let rows = try connection.query(
      "SELECT id FROM dead_letters WHERE id = ANY($1) ORDER BY id FOR UPDATE", [.int64s(ids)])
    let found = (0..<rows.count).map { rows.int64($0, 0) }
    guard !allOrNothing || found.count == ids.count else {
      try connection.execute("ROLLBACK")
      return (0, MissingDeadLetters(ids: ids.filter { !found.contains($0) }))
    }
    _ = try connection.query("DELETE FROM dead_letters WHERE id = ANY($1)", [.int64s(found)])
    try connection.commitOnce()
    return (found.count, nil)
  }

  // MARK: Steps

  private typealias Step<Count> = @Sendable (
    _ ids: [Int64], _ allOrNothing: Bool, PostgresConnection
  ) throws(PostgresError) -> (Count, MissingDeadLetters?)

  private func forEachStep<Count: Sendable>(
    _ selection: DeadLetterSelection, _ deadline: ContinuousClock.Instant?, _ step: @escaping Step<Count>,
    counted: (Count) -> Void
  ) async throws(RPCStatus) {
    try await pool.withLane(deadline: Self.step(deadline)) { lane async throws(RPCStatus) in
      switch selection {
      case .ids(let ids):
        let ids = ids.sorted()
        let (count, missing) = try await Self.run(lane, deadline) { connection throws(PostgresError) in
          try step(ids, true, connection)
        }
        if let missing { throw missing.status }
        counted(count)
      case .matching(let filter):
        var walk = DeadLetterWalk(filter)
        while true {
          let before = walk
          let (ids, rest) = try await Self.run(lane, deadline) { connection throws(PostgresError) in
            var walk = before
            return (try walk.next(connection), walk)
          }
          walk = rest
          guard !ids.isEmpty else { return }
          counted(try await Self.run(lane, deadline) { connection throws(PostgresError) in
            try step(ids, false, connection)
          }.0)
        }
      }
    }
  }

  private static func step(_ deadline: ContinuousClock.Instant?) -> ContinuousClock.Instant {
    min(deadline ?? .now + longestStep, .now + longestStep)
  }

  private static func run<Value: Sendable>(
    _ lane: ReaderLane, _ deadline: ContinuousClock.Instant?,
    _ body: @Sendable (PostgresConnection) throws(PostgresError) -> Value
  ) async throws(RPCStatus) -> Value {
    do throws(PostgresError) {
      return try await lane.run(deadline: step(deadline), body)
    } catch {
      guard error.sqlState == PostgresError.outcomeUnknown else { throw error.rpcStatus }
      throw .unavailable("The database did not say whether the last step was done: list the dead letters to see what "
        + "is left.", retryAfter: .seconds(1))
    }
  }
}

/// Goes through the dead letters of a filter that are there when it begins, oldest first.
struct DeadLetterWalk: Sendable {
  private let filter: DeadLetterFilter
  private var last: Int64 = 0
  private var end: Int64?

  init(_ filter: DeadLetterFilter) { self.filter = filter }

  /// The next ones, as many as one transaction takes; none at the end.
  mutating func next(_ connection: PostgresConnection) throws(PostgresError) -> [Int64] {
    if end == nil { end = try connection.query("SELECT COALESCE(max(id), 0) FROM dead_letters").int64(0, 0) }
    var parameters: [PostgresValue] = [.int64(last), .int64(end ?? 0)]
    let conditions = filter.conditions(&parameters)
    let rows = try connection.query("""
      SELECT id, octet_length(original)::bigint FROM dead_letters WHERE id > $1 AND id <= $2 AND \(conditions)
      ORDER BY id LIMIT \(DeadLetterStore.transactionCount)
      """, parameters)
    var ids: [Int64] = []
    var bytes: Int64 = 0
    for row in 0..<rows.count {
      bytes += rows.int64(row, 1)
      if !ids.isEmpty, bytes > DeadLetterStore.transactionBytes { break }
      ids.append(rows.int64(row, 0))
    }
    last = ids.last ?? last
    return ids
  }
}

extension MissingDeadLetters {
  /// NOT_FOUND that names them, the first ten.
  var status: RPCStatus {
    let named = ids.prefix(10).map { "\($0)" }.joined(separator: ", ")
    return RPCStatus(.notFound, """
      no dead letter has the id \(named)\(ids.count > 10 ? " and \(ids.count - 10) more" : ""): it was stored or \
      discarded before, or never was; nothing was done
      """)
  }
}
