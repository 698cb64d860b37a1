// Dead letters back to readings: judged, stored and removed in one transaction.
import Foundation
package import Telemetry

/// What the rules of today say about the bytes of a dead letter.
package enum DeadLetterJudgement: Sendable {
  /// It is a reading now, appended to the batch.
  case valid
  case invalid(ReadingRules.Problem)
  /// The bytes are no `esp.v1.Reading` any more; the old reason stays.
  case unreadable
}

/// Judges the bytes of an `esp.v1.Reading`, at a time in microseconds since 1970, as ingest would; appends it to the
/// batch when it is valid and leaves the batch alone when it is not.
package typealias DeadLetterJudge = @Sendable (
  _ original: [UInt8], _ now: Int64, _ batch: inout ReadingBatch
) -> DeadLetterJudgement

/// How a requeue ended.
package struct RequeueCount: Sendable, Equatable {
  package var stored = 0
  package var stillInvalid = 0

  static func += (sum: inout RequeueCount, other: RequeueCount) {
    sum.stored += other.stored
    sum.stillInvalid += other.stillInvalid
  }
}

/// The dead letters that were asked for and are not there.
struct MissingDeadLetters: Error, Sendable, Equatable { var ids: [Int64] }

/// Requeues some dead letters by id, on one connection.
struct DeadLetterRequeue {
  let connection: PostgresConnection
  let judge: DeadLetterJudge
  private let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
  private var partitions = Partitions()
  private var encoder = ReadingCopyEncoder()

  init(_ connection: PostgresConnection, _ judge: @escaping DeadLetterJudge) {
    self.connection = connection
    self.judge = judge
  }

  /// Dead letters of one transaction, judged.
  private struct Judged {
    var valid: [Int64] = []
    var invalid: [(id: Int64, reason: String, field: String)] = []
    var batch = ReadingBatch()
    var found: Set<Int64> = []
  }

  /// Judges and counts only.
  func rehearse(_ ids: [Int64]) throws(PostgresError) -> (RequeueCount, MissingDeadLetters?) {
    let judged = try read(ids, "")
    return (RequeueCount(stored: judged.valid.count, stillInvalid: judged.invalid.count), missing(ids, judged))
  }

  /// Those that are valid now are stored and removed in one transaction, so that whatever ends us leaves each of them
  /// either a dead letter or a reading. With `allOrNothing`, nothing is done when one is not there.
  mutating func run(_ ids: [Int64], allOrNothing: Bool) throws(PostgresError) -> (RequeueCount, MissingDeadLetters?) {
    // A partition that we made may be dropped before we use it (retention): once is an accident.
    var lostPartitions = 0
    while true {
      try connection.execute("BEGIN")
      let judged = try read(ids, "FOR UPDATE")
      if allOrNothing, let missing = missing(ids, judged) {
        try connection.execute("ROLLBACK")
        return (RequeueCount(), missing)
      }
      let days = Set(judged.batch.readings.map { Partitions.day(of: $0.timestamp) })
      guard partitions.covers(days) else {
        // Partitions are made in a transaction of their own.
        try connection.execute("ROLLBACK")
        try partitions.ensure(days, on: connection)
        continue
      }
      do throws(PostgresError) {
        try copy(judged.batch)
      } catch where error.isMissingPartition && lostPartitions == 0 {
        lostPartitions += 1
        partitions.forget()
        try connection.execute("ROLLBACK")
        continue
      } catch where error.kind == .data {
        try connection.execute("ROLLBACK")
        return (try withoutPoison(judged, ids), nil)
      }
      try settle(judged)
      try connection.commitOnce()
      return (RequeueCount(stored: judged.valid.count, stillInvalid: judged.invalid.count), nil)
    }
  }

  /// The database refuses one of the readings that the rules let pass: halves, until it is alone.
  private mutating func withoutPoison(_ judged: Judged, _ ids: [Int64]) throws(PostgresError) -> RequeueCount {
    guard judged.valid.count > 1 else {
      try connection.execute("BEGIN")
      var refused = judged
      refused.invalid += judged.valid.map { ($0, Verdict.Reason.storeFailed.rawValue, "") }
      refused.valid = []
      try settle(refused)
      try connection.commitOnce()
      return RequeueCount(stored: 0, stillInvalid: refused.invalid.count)
    }
    let valid = Set(judged.valid.prefix(judged.valid.count / 2))
    var count = try run(ids.filter(valid.contains), allOrNothing: false).0
    count += try run(ids.filter { !valid.contains($0) }, allOrNothing: false).0
    return count
  }

  private func missing(_ ids: [Int64], _ judged: Judged) -> MissingDeadLetters? {
    let missing = ids.filter { !judged.found.contains($0) }
    return missing.isEmpty ? nil : MissingDeadLetters(ids: missing)
  }

  private func read(_ ids: [Int64], _ lock: String) throws(PostgresError) -> Judged {
    // In the order of their ids: two requeues wait for each other and never deadlock.
    let rows = try connection.query(
      "SELECT id, original FROM dead_letters WHERE id = ANY($1) ORDER BY id \(lock)", [.int64s(ids)])
    var judged = Judged()
    for row in 0..<rows.count {
      let id = rows.int64(row, 0)
      judged.found.insert(id)
      switch judge(rows.bytes(row, 1), now, &judged.batch) {
      case .valid: judged.valid.append(id)
      case .invalid(let problem): judged.invalid.append((id, problem.reason.rawValue, problem.field))
      case .unreadable: judged.invalid.append((id, "", ""))
      }
    }
    return judged
  }

  private mutating func copy(_ batch: ReadingBatch) throws(PostgresError) {
    guard !batch.isEmpty else { return }
    encoder.reset()
    encoder.append(batch, ingestedAt: now)
    try encoder.withFinished { bytes throws(PostgresError) in
      _ = try connection.copy(ReadingCopyEncoder.statement, bytes)
    }
  }

  private func settle(_ judged: Judged) throws(PostgresError) {
    if !judged.valid.isEmpty {
      _ = try connection.query("DELETE FROM dead_letters WHERE id = ANY($1)", [.int64s(judged.valid)])
    }
    guard !judged.invalid.isEmpty else { return }
    _ = try connection.query("""
      UPDATE dead_letters SET attempts = attempts + 1, last_attempt_at = $4,
        reason = CASE judged.reason WHEN '' THEN dead_letters.reason ELSE judged.reason END,
        field = CASE judged.reason WHEN '' THEN dead_letters.field ELSE judged.field END
      FROM unnest($1::bigint[], $2::text[], $3::text[]) AS judged (id, reason, field)
      WHERE dead_letters.id = judged.id
      """, [.int64s(judged.invalid.map(\.id)), .texts(judged.invalid.map(\.reason)),
            .texts(judged.invalid.map(\.field)), .timestamp(now)])
  }
}

extension PostgresError {
  /// SQLSTATE transaction_resolution_unknown: a COMMIT was not answered and may have happened.
  static let outcomeUnknown = "08007"
}

extension PostgresConnection {
  /// COMMIT. When it is not answered the error says so and is not a lost connection, so that nobody tries the same
  /// again unasked.
  func commitOnce() throws(PostgresError) {
    do throws(PostgresError) {
      try execute("COMMIT")
    } catch {
      guard error.kind != .data, error.kind != .other else { throw error }
      throw PostgresError(.other, sqlState: PostgresError.outcomeUnknown, "COMMIT was not answered: \(error.message)")
    }
  }
}
