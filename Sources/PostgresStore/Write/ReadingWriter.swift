// Stores readings exactly once: one transaction for rows, dead letters and cursors, whatever happens to the server.
import Foundation
package import Logging
package import Telemetry

/// Writes to one database over one connection. Synchronous: owned by the pipeline's thread. Not Sendable.
///
/// `commit` returns when the transaction is durable in the database. It waits out lost connections, restarts, full
/// disks and lock conflicts by itself, with back-off, for as long as they last; `stopSignal` ends the wait.
package final class ReadingWriter {
  /// Signal it from any thread: the commit that is under way, and any later one, fails with `.stopped`.
  package let stopSignal = StopSignal()
  /// Called between the steps of a commit, for tests that break things there; what it throws counts as the server's.
  package var probe: ((WriteStage) throws(PostgresError) -> Void)?

  private let location: PostgresLocation
  private let logger: Logger
  private var connection: PostgresConnection?
  private var partitions = Partitions()
  private var encoder = ReadingCopyEncoder()
  private var letterEncoder = DeadLetterCopyEncoder()
  private var outage: Outage
  /// Of the last transaction; the next one's is later, also when the clock is set back.
  private var lastIngestedAt: Int64 = 0

  /// Connects on first use.
  package init(_ location: PostgresLocation, logger: Logger) {
    self.location = location
    self.logger = logger
    outage = Outage(logger: logger)
  }

  /// Stores all of it, exactly once, or throws and stores nothing. Returns the `ingestion_timestamp` of its rows,
  /// microseconds since 1970, which rises from transaction to transaction.
  @discardableResult
  package func commit(_ transaction: borrowing WriteTransaction) throws(WriteFailure) -> Int64 {
    guard !transaction.isEmpty else { return lastIngestedAt }
    try refuseUnstorableSequences(transaction)
    let ingestedAt = max(Int64(Date().timeIntervalSince1970 * 1_000_000), lastIngestedAt + 1)
    lastIngestedAt = ingestedAt
    let days = encode(transaction, ingestedAt)
    var hasLostPartition = false
    while true {
      var attempt = Attempt(ingestedAt: ingestedAt)
      let conflicts: [String]
      do throws(PostgresError) {
        conflicts = try store(transaction, days, &attempt)
      } catch {
        if error.isMissingPartition, !hasLostPartition {
          // A partition that we knew was dropped meanwhile (retention): look again, once.
          hasLostPartition = true
          abandonTransaction()
        } else if try isStored(after: error, attempt, transaction) {
          return ingestedAt
        }
        continue
      }
      outage.end()
      guard conflicts.isEmpty else { throw .cursorConflict(producerIDs: conflicts) }
      return ingestedAt
    }
  }

  /// Whether the database would take these readings: tried and rolled back. Throws `.data` when it would not.
  package func check(_ batch: borrowing ReadingBatch) throws(WriteFailure) {
    var transaction = WriteTransaction()
    transaction.batches = [copy batch]
    let days = encode(transaction, Int64(Date().timeIntervalSince1970 * 1_000_000))
    while true {
      do throws(PostgresError) {
        let connection = try connected()
        try partitions.ensure(days, on: connection)
        try connection.execute("BEGIN")
        try copyRows(on: connection)
        try connection.execute("SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK")
        return outage.end()
      } catch {
        switch error.kind {
        case .stopped: throw stopped()
        case .data:
          abandonTransaction()
          throw .data(error)
        case .connectionLost, .timedOut, .other:
          abandonTransaction()
          outage.wait(because: error, stopSignal)
        }
      }
    }
  }

  /// The last stored sequence of each of these producers that has one. To ask is to use: it keeps them from expiring.
  package func cursors(for producerIDs: [String]) throws(WriteFailure) -> [String: UInt64] {
    try untilAnswered { connection throws(PostgresError) in
      // Once an hour is enough for what is counted in days, and a reconnecting fleet writes nothing.
      _ = try connection.query("""
        UPDATE producer_cursor SET updated_at = NOW()
        WHERE producer_id = ANY($1) AND updated_at < NOW() - INTERVAL '1 hour'
        """, [.texts(producerIDs)])
      return try Self.readCursors(producerIDs, on: connection)
    }
  }

  // MARK: One attempt

  /// What is known about an attempt when it fails.
  struct Attempt {
    let ingestedAt: Int64
    /// PostgreSQL's number of the transaction (xid8).
    var transactionID = ""
    /// From here on a lost connection leaves the outcome open.
    var isCommitSent = false
  }

  /// Returns the producers whose cursors are not where the transaction wants them; then nothing is stored.
  private func store(_ transaction: borrowing WriteTransaction, _ days: Set<Int>,
                     _ attempt: inout Attempt) throws(PostgresError) -> [String] {
    let connection = try connected()
    try partitions.ensure(days, on: connection)
    attempt.transactionID = try connection.value("BEGIN; SELECT pg_current_xact_id()")
    try probe?(.begun)
    // Cursors first: a conflict is known before the rows are sent.
    let conflicts = try move(transaction.cursors, on: connection)
    guard conflicts.isEmpty else {
      try connection.execute("ROLLBACK")
      return conflicts
    }
    try probe?(.cursorsMoved)
    try copyRows(on: connection)
    if !transaction.deadLetters.isEmpty {
      try letterEncoder.withFinished { bytes throws(PostgresError) in
        _ = try connection.copy(DeadLetterCopyEncoder.statement, bytes)
      }
    }
    try probe?(.rowsCopied)
    attempt.isCommitSent = true
    try connection.send("COMMIT")
    try probe?(.commitSent)
    try connection.finish()
    return []
  }

  private func copyRows(on connection: PostgresConnection) throws(PostgresError) {
    guard encoder.rowCount > 0 else { return }
    try encoder.withFinished { bytes throws(PostgresError) in
      _ = try connection.copy(ReadingCopyEncoder.statement, bytes)
    }
  }

  /// Encodes once, for all attempts. Returns the days whose partitions are needed.
  private func encode(_ transaction: borrowing WriteTransaction, _ ingestedAt: Int64) -> Set<Int> {
    encoder.reset()
    letterEncoder.reset()
    let today = Partitions.day(of: ingestedAt)
    var days = Set(today...today + Partitions.daysAhead)
    var lastDay = today
    for batch in transaction.batches {
      encoder.append(batch, ingestedAt: ingestedAt)
      for index in batch.readings.indices {
        let day = Partitions.day(of: batch.readings[index].timestamp)
        if day != lastDay {
          days.insert(day)
          lastDay = day
        }
      }
    }
    for letter in transaction.deadLetters { letterEncoder.append(letter) }
    return days
  }

  private func move(_ moves: [CursorMove], on connection: PostgresConnection) throws(PostgresError) -> [String] {
    guard !moves.isEmpty else { return [] }
    let rows = try connection.query("""
      WITH move AS (
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS m (producer_id, before, after)
      ), moved AS (
        UPDATE producer_cursor SET last_sequence = move.after, updated_at = NOW() FROM move
        WHERE producer_cursor.producer_id = move.producer_id AND last_sequence = move.before
        RETURNING producer_cursor.producer_id
      ), created AS (
        INSERT INTO producer_cursor (producer_id, last_sequence) SELECT producer_id, after FROM move WHERE before = 0
        ON CONFLICT DO NOTHING RETURNING producer_id
      ) SELECT producer_id FROM moved UNION ALL SELECT producer_id FROM created
      """, [.texts(moves.map(\.producerID)), .int64s(moves.map { Int64($0.from) }),
            .int64s(moves.map { Int64($0.to) })])
    guard rows.count != moves.count else { return [] }
    let moved = Set((0..<rows.count).map { rows.text($0, 0) })
    return moves.map(\.producerID).filter { !moved.contains($0) }
  }

  private func refuseUnstorableSequences(_ transaction: borrowing WriteTransaction) throws(WriteFailure) {
    for move in transaction.cursors where max(move.from, move.to) > CursorMove.maximumSequence {
      throw .data(PostgresError(.data, sqlState: "22003", "sequence \(move.to) of \(move.producerID) is out of range"))
    }
  }

  // MARK: After a failure

  /// Whether the transaction is stored in spite of the error. False: try again. Throws when trying again is no use.
  private func isStored(after error: PostgresError, _ attempt: Attempt,
                        _ transaction: borrowing WriteTransaction) throws(WriteFailure) -> Bool {
    switch error.kind {
    case .stopped: throw stopped()
    case .connectionLost, .timedOut:
      connection = nil
      outage.wait(because: error, stopSignal)
      guard attempt.isCommitSent else { return false }
      return try isCommitted(attempt, transaction)
    case .data:
      abandonTransaction()
      throw .data(error)
    case .other:
      // The server says that it has not happened: full disk, deadlock, read-only standby, missing table.
      abandonTransaction()
      outage.wait(because: error, stopSignal)
      return false
    }
  }

  /// Asks the database what became of a transaction whose COMMIT was sent and not answered.
  private func isCommitted(_ attempt: Attempt, _ transaction: borrowing WriteTransaction) throws(WriteFailure) -> Bool {
    let outcome = Outcome(attempt, transaction)
    let answer = try untilAnswered { connection throws(PostgresError) in try outcome.ask(connection, stopSignal) }
    switch answer {
    case .committed:
      outage.end()
      logger.notice("a commit whose answer was lost had happened", metadata: ["xid": "\(attempt.transactionID)"])
      return true
    case .notCommitted: return false
    case .conflict(let producerIDs): throw .cursorConflict(producerIDs: producerIDs)
    }
  }

  static func readCursors(_ producerIDs: [String],
                          on connection: PostgresConnection) throws(PostgresError) -> [String: UInt64] {
    let rows = try connection.query(
      "SELECT producer_id, last_sequence FROM producer_cursor WHERE producer_id = ANY($1)", [.texts(producerIDs)])
    var cursors: [String: UInt64] = [:]
    // The table's CHECK keeps it from being negative.
    for row in 0..<rows.count { cursors[rows.text(row, 0)] = UInt64(rows.int64(row, 1)) }
    return cursors
  }

  /// Repeats a question (outside a transaction) until the database answers or we are stopped. Nothing but a stop ends
  /// it.
  private func untilAnswered<Value>(
    _ ask: (PostgresConnection) throws(PostgresError) -> Value
  ) throws(WriteFailure) -> Value {
    while true {
      do throws(PostgresError) {
        let answer = try ask(try connected())
        outage.end()
        return answer
      } catch {
        if error.kind == .stopped { throw stopped() }
        if connection?.isBroken != false { connection = nil }
        outage.wait(because: error, stopSignal)
      }
    }
  }

  private func connected() throws(PostgresError) -> PostgresConnection {
    if stopSignal.isSignalled { throw PostgresError(.stopped, "stopped") }
    if let connection, !connection.isBroken { return connection }
    partitions.forget()
    let fresh = try PostgresConnection(location, stop: stopSignal, logger: logger)
    connection = fresh
    return fresh
  }

  private func abandonTransaction() {
    partitions.forget()
    guard let connection, !connection.isBroken else {
      self.connection = nil
      return
    }
    do throws(PostgresError) {
      try connection.execute("ROLLBACK")
    } catch {
      // The server rolls back by itself when the connection goes.
      self.connection = nil
    }
  }

  private func stopped() -> WriteFailure {
    connection = nil
    return .stopped
  }
}

/// The steps of a commit, in order.
package enum WriteStage: Sendable, CaseIterable {
  case begun, cursorsMoved, rowsCopied, commitSent
}
