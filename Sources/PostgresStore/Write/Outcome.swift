// What became of a transaction whose COMMIT was sent and never answered: found out, not guessed.
import Telemetry

/// The answer of the database itself about one transaction.
///
/// `pg_xact_status` alone is not proof. A server that crashes before anything of a transaction reached its disk may
/// give the same number to another one, which then commits. So it only tells us when to look (not while the
/// transaction is in progress), and the data tells what happened: the cursors, which moved with the rows or not at
/// all; without cursors the first row, which is known by its ingestion time.
struct Outcome {
  enum Answer {
    case committed, notCommitted
    /// Somebody else moved these producers.
    case conflict(producerIDs: [String])
  }

  /// How long a transaction may seem to be in progress before its cursors are asked. Safe at any value: as long as it
  /// is, it holds its cursors' locks, and a repetition waits for them.
  static let patience: Duration = .seconds(10)

  private let attempt: ReadingWriter.Attempt
  private let moves: [CursorMove]
  private let firstBatch: ReadingBatch?
  private let firstLetter: RefusedReading?

  init(_ attempt: ReadingWriter.Attempt, _ transaction: borrowing WriteTransaction) {
    self.attempt = attempt
    moves = transaction.cursors
    firstBatch = transaction.batches.first { !$0.isEmpty }
    firstLetter = transaction.deadLetters.first
  }

  func ask(_ connection: PostgresConnection, _ stop: StopSignal) throws(PostgresError) -> Answer {
    var pause = Backoff()
    let giveUp = ContinuousClock.now + Self.patience
    var status = try transactionStatus(connection)
    while status == "in progress", moves.isEmpty || .now < giveUp {
      stop.sleep(for: pause.take())
      status = try transactionStatus(connection)
    }
    if !moves.isEmpty { return answer(try ReadingWriter.readCursors(moves.map(\.producerID), on: connection)) }
    if status == "aborted" { return .notCommitted }
    return try isFirstRowStored(connection) ? .committed : .notCommitted
  }

  private func answer(_ cursors: [String: UInt64]) -> Answer {
    if moves.allSatisfy({ cursors[$0.producerID] == $0.to }) { return .committed }
    let strangers = moves.filter { (cursors[$0.producerID] ?? 0) != $0.from }
    return strangers.isEmpty ? .notCommitted : .conflict(producerIDs: strangers.map(\.producerID))
  }

  /// `in progress`, `committed`, `aborted`; empty = too old, or from before the server lost its memory.
  private func transactionStatus(_ connection: PostgresConnection) throws(PostgresError) -> String {
    do throws(PostgresError) {
      let rows = try connection.query("SELECT pg_xact_status($1::text::xid8)", [.text(attempt.transactionID)])
      return rows.isNull(0, 0) ? "" : rows.text(0, 0)
    } catch where error.sqlState == "22023" {
      // "transaction ID ... is in the future"
      return ""
    }
  }

  private func isFirstRowStored(_ connection: PostgresConnection) throws(PostgresError) -> Bool {
    if let firstBatch {
      let reading = firstBatch.readings[0]
      return try connection.query("""
        SELECT FROM telemetry WHERE device_id = $1 AND timestamp = $2 AND ingestion_timestamp = $3 LIMIT 1
        """, [.text(firstBatch.string(reading.deviceID)), .timestamp(reading.timestamp),
              .timestamp(attempt.ingestedAt)]).count == 1
    }
    guard let firstLetter else { return false }
    return try connection.query("""
      SELECT FROM dead_letters WHERE received_at = $1 AND producer_id = $2 AND sequence = $3 AND original = $4 LIMIT 1
      """, [.timestamp(firstLetter.receivedAt), .text(firstLetter.producerID),
            .int64(Int64(clamping: firstLetter.sequence)), .bytes(firstLetter.letter.original)]).count == 1
  }
}
