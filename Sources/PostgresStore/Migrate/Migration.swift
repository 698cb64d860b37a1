// The steps from an empty database to today's tables, embedded in the program.

/// One step of the schema, up and down, from `Migrations/`. Applied once, in order, each in one transaction.
package struct Migration: Sendable {
  package var version: Int
  /// As the files are called, for example `001_create_hypertables`.
  package var name: String
  var up: String
  var down: String

  package init(version: Int, name: String, up: String, down: String) {
    self.version = version
    self.name = name
    self.up = up
    self.down = down
  }

  /// In the order of their versions.
  package static let all = [
    Migration(1, "001_create_hypertables", PackageResources._01_create_hypertables_up_sql,
              PackageResources._01_create_hypertables_down_sql),
    Migration(2, "002_dead_letter_service", PackageResources._02_dead_letter_service_up_sql,
              PackageResources._02_dead_letter_service_down_sql),
    Migration(3, "003_live_resume", PackageResources._03_live_resume_up_sql,
              PackageResources._03_live_resume_down_sql),
  ]

  private init(_ version: Int, _ name: String, _ up: [UInt8], _ down: [UInt8]) {
    self.init(version: version, name: name, up: String(decoding: up, as: UTF8.self),
              down: String(decoding: down, as: UTF8.self))
  }
}

/// What `espd migrate status` prints, one line a migration.
package struct MigrationStatus: Sendable, Equatable {
  package var version: Int
  package var name: String
  /// Microseconds since 1970-01-01T00:00:00Z; nil = not applied.
  package var appliedAt: Int64?

  package init(version: Int, name: String, appliedAt: Int64?) {
    self.version = version
    self.name = name
    self.appliedAt = appliedAt
  }
}

/// Why the schema was left as it is; each says what to do.
package enum MigrationError: Error, Sendable, Equatable, CustomStringConvertible {
  case changed(name: String)
  case unknown(version: Int, name: String)
  case refused(name: String, reason: String)
  case database(PostgresError)

  package var description: String {
    switch self {
    case .changed(let name):
      "Migration \(name) was changed after it had been applied to this database. Restore the file; put changes into "
        + "a new migration."
    case .unknown(let version, let name):
      "The database has migration \(version) (\(name)), which this program does not know: it was written by a newer "
        + "version. Run that version, or a still newer one."
    case .refused(let name, let reason): "Migration \(name) was refused and nothing was changed: \(reason)"
    case .database(let error): "The database could not be migrated: \(error)"
    }
  }
}
