// The day partitions of `telemetry`, where TimescaleDB does not make its own.

/// Makes the partitions that rows need before the rows come. There is no DEFAULT partition: one row in it would keep
/// the right partition from being made.
struct Partitions {
  /// Days made ahead of today, so that midnight finds its partition there.
  static let daysAhead = 3
  static let dayMicroseconds: Int64 = 86_400_000_000

  /// Whether `telemetry` is partitioned natively; nil = not asked yet on this connection.
  private var isNative: Bool?
  private var knownDays: Set<Int> = []

  init() {}

  /// After a reconnect or a rollback: what we knew may not be so.
  mutating func forget() {
    isNative = nil
    knownDays.removeAll(keepingCapacity: true)
  }

  /// Whether the partitions of these days are known to be there.
  func covers(_ days: Set<Int>) -> Bool { days.isSubset(of: knownDays) }

  /// Days since 1970-01-01 of a time in microseconds.
  @inline(__always) static func day(of microseconds: Int64) -> Int {
    let (quotient, remainder) = microseconds.quotientAndRemainder(dividingBy: dayMicroseconds)
    return Int(remainder < 0 ? quotient - 1 : quotient)
  }

  /// Makes the partitions of these days, in a transaction of its own, if any is not known to be there.
  ///
  /// A partition is made apart and attached: `CREATE TABLE ... PARTITION OF` would lock out every reader of the table
  /// (ACCESS EXCLUSIVE), ATTACH does not. Two servers take turns by an advisory lock.
  mutating func ensure(_ days: Set<Int>, on connection: PostgresConnection) throws(PostgresError) {
    let missing = days.subtracting(knownDays)
    guard !missing.isEmpty else { return }
    guard try isNative(on: connection) else {
      knownDays.formUnion(missing)
      return
    }
    try connection.execute("BEGIN; SELECT pg_advisory_xact_lock(\(AdvisoryLock.partitions))")
    let existing = try Self.names(on: connection)
    for day in missing.sorted() where !existing.contains(Self.name(of: day)) {
      try connection.execute(Self.statements(for: day))
    }
    try connection.execute("COMMIT")
    knownDays.formUnion(missing)
  }

  private mutating func isNative(on connection: PostgresConnection) throws(PostgresError) -> Bool {
    if let isNative { return isNative }
    let rows = try connection.query("SELECT relkind = 'p' FROM pg_class WHERE oid = 'telemetry'::regclass")
    let answer = rows.bool(0, 0)
    isNative = answer
    return answer
  }

  /// From the first moment that a partition or chunk covers to the end of the last; nil = there is none, or no telling.
  static func storedRange(on connection: PostgresConnection) throws(PostgresError) -> Range<Int64>? {
    let kind = try connection.query("SELECT relkind = 'p' FROM pg_class WHERE oid = 'telemetry'::regclass")
    guard kind.count == 1 else { return nil }
    let rows = try connection.query(kind.bool(0, 0) ? """
      SELECT to_date(substr(min(relname::text), 12), 'YYYYMMDD')::timestamptz,
        to_date(substr(max(relname::text), 12), 'YYYYMMDD')::timestamptz + INTERVAL '1 day'
      FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
      WHERE inhparent = 'telemetry'::regclass AND relname ~ '^telemetry_p[0-9]{8}$'
      """ : """
      SELECT min(range_start), max(range_end) FROM timescaledb_information.chunks
      WHERE hypertable_name = 'telemetry'
      """)
    guard !rows.isNull(0, 0), !rows.isNull(0, 1) else { return nil }
    return rows.timestamp(0, 0)..<rows.timestamp(0, 1)
  }

  private static func names(on connection: PostgresConnection) throws(PostgresError) -> Set<String> {
    let rows = try connection.query("""
      SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
      WHERE inhparent = 'telemetry'::regclass
      """)
    return Set((0..<rows.count).map { rows.text($0, 0) })
  }

  private static func statements(for day: Int) -> String {
    let table = name(of: day)
    return """
      CREATE TABLE \(table) (LIKE telemetry INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
      ALTER TABLE telemetry ATTACH PARTITION \(table)
        FOR VALUES FROM ('\(date(of: day)) 00:00:00+00') TO ('\(date(of: day + 1)) 00:00:00+00')
      """
  }

  /// `telemetry_p20261123`.
  static func name(of day: Int) -> String { "telemetry_p" + date(of: day).filter { $0 != "-" } }

  /// `2026-11-23`: the proleptic Gregorian date of a day, by Howard Hinnant's `civil_from_days`.
  static func date(of day: Int) -> String {
    let shifted = day + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    return "\(padded(year, 4))-\(padded(month, 2))-\(padded(dayOfYear - (153 * monthFromMarch + 2) / 5 + 1, 2))"
  }

  private static func padded(_ number: Int, _ digits: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }
}
