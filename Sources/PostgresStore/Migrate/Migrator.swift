// `espd migrate up|down|status`: brings the tables of a database to this program's version and back.
package import Logging

/// Applies migrations to one database. Blocking; at start or from the command line, never on a loop.
///
/// Two at once are safe: the second waits for the first one's advisory lock and then finds nothing left to do.
package struct Migrator {
  private let location: PostgresLocation
  private let migrations: [Migration]
  private let logger: Logger

  package init(_ location: PostgresLocation, migrations: [Migration] = Migration.all, logger: Logger) {
    self.location = location
    self.migrations = migrations
    self.logger = logger
  }

  /// Applies what is missing; returns the names of what it applied.
  @discardableResult package func up() throws(MigrationError) -> [String] {
    try locked { connection, applied throws(MigrationError) in
      var names: [String] = []
      for migration in migrations where applied[migration.version] == nil {
        try apply(migration, connection)
        names.append(migration.name)
      }
      return names
    }
  }

  /// Takes the newest migration back; returns its name, or nil when none is left. Refuses rather than drop data.
  @discardableResult package func down() throws(MigrationError) -> String? {
    try locked { connection, applied throws(MigrationError) in
      guard let migration = migrations.last(where: { applied[$0.version] != nil }) else { return nil }
      try inTransaction(migration.name, connection) { () throws(PostgresError) in
        try connection.execute(migration.down)
        _ = try connection.query("DELETE FROM schema_migrations WHERE version = $1",
                                 [.int64(Int64(migration.version))])
      }
      logger.notice("migrated down", metadata: ["migration": "\(migration.name)"])
      return migration.name
    }
  }

  /// Every known migration and when it was applied.
  package func status() throws(MigrationError) -> [MigrationStatus] {
    try locked { _, applied in
      migrations.map { MigrationStatus(version: $0.version, name: $0.name, appliedAt: applied[$0.version]) }
    }
  }

  private func apply(_ migration: Migration, _ connection: PostgresConnection) throws(MigrationError) {
    try inTransaction(migration.name, connection) { () throws(PostgresError) in
      try connection.execute(migration.up)
      _ = try connection.query("""
        INSERT INTO schema_migrations (version, name, checksum)
        VALUES ($1, $2, encode(sha256($3), 'hex'))
        """, [.int64(Int64(migration.version)), .text(migration.name), .bytes(Array(migration.up.utf8))])
    }
    logger.notice("migrated up", metadata: ["migration": "\(migration.name)"])
  }

  /// Runs `body` alone among all migrators of this database, with the versions that are applied (and when).
  private func locked<Value>(
    _ body: (PostgresConnection, [Int: Int64]) throws(MigrationError) -> Value
  ) throws(MigrationError) -> Value {
    let connection = try database { () throws(PostgresError) in
      let connection = try PostgresConnection(location, logger: logger)
      // Held by the session: released by its end, whatever happens.
      _ = try connection.query("SELECT pg_advisory_lock($1)", [.int64(AdvisoryLock.migration)])
      try connection.execute("""
        CREATE TABLE IF NOT EXISTS schema_migrations (
          version INT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL,
          applied_at TIMESTAMPTZ NOT NULL DEFAULT NOW())
        """)
      return connection
    }
    return try body(connection, try checkedVersions(connection))
  }

  /// Refuses a database that this program would misunderstand.
  private func checkedVersions(_ connection: PostgresConnection) throws(MigrationError) -> [Int: Int64] {
    var applied: [Int: Int64] = [:]
    let rows = try database { () throws(PostgresError) in
      try connection.query("SELECT version, name, checksum, applied_at FROM schema_migrations ORDER BY version")
    }
    for row in 0..<rows.count {
      let version = Int(rows.int32(row, 0))
      guard let migration = migrations.first(where: { $0.version == version }) else {
        throw .unknown(version: version, name: rows.text(row, 1))
      }
      let digest = try database { () throws(PostgresError) in
        try connection.query("SELECT encode(sha256($1), 'hex')", [.bytes(Array(migration.up.utf8))])
      }
      guard digest.text(0, 0) == rows.text(row, 2) else { throw .changed(name: migration.name) }
      applied[version] = rows.timestamp(row, 3)
    }
    return applied
  }

  private func database<Value>(_ body: () throws(PostgresError) -> Value) throws(MigrationError) -> Value {
    do throws(PostgresError) { return try body() } catch { throw .database(error) }
  }

  private func inTransaction(
    _ name: String, _ connection: PostgresConnection, _ body: () throws(PostgresError) -> Void
  ) throws(MigrationError) {
    do throws(PostgresError) {
      try connection.execute("BEGIN")
      try body()
      try connection.execute("COMMIT")
    } catch {
      if error.sqlState == "55000" { throw .refused(name: name, reason: error.message) }
      throw .database(error)
    }
  }
}

/// Keys of our advisory locks; any number that nobody else uses. The high half spells "espd".
enum AdvisoryLock {
  static let migration: Int64 = 0x6573_7064_0000_0001
  static let partitions: Int64 = 0x6573_7064_0000_0002
}
