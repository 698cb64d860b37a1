// Why the private database could not be started; each says what to do.

package enum EmbeddedPostgresError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Another process holds the data directory.
  case locked(directory: String, holder: String)
  /// No server binaries (of that major version, when one is given).
  case notInstalled(version: Int?)
  /// The cluster was made by another major version than the installed ones.
  case otherVersion(cluster: Int, installed: [Int], directory: String)
  /// There is something in the cluster's place that we did not make.
  case notOurs(directory: String, reason: String)
  /// A step failed; the text ends with what PostgreSQL logged.
  case failed(String)

  package var description: String {
    switch self {
    case .locked(let directory, let holder):
      "\(directory) is in use by another espd (process \(holder)). Stop it, or give this one its own ESP_DATA_DIR."
    case .notInstalled(let version?):
      "PostgreSQL \(version) is not installed. Run: apt-get install postgresql-\(version)"
    case .notInstalled(nil):
      "PostgreSQL's server is not installed. Run: apt-get install postgresql; or set ESP_DATABASE_URL to a server."
    case .otherVersion(let cluster, let installed, let directory):
      "\(directory) was made by PostgreSQL \(cluster), but installed is \(installed.list). Run: apt-get install "
        + "postgresql-\(cluster); or move the data with pg_upgrade or pg_dump."
    case .notOurs(let directory, let reason): "\(directory) cannot be used for the database: \(reason)"
    case .failed(let text): text
    }
  }
}

extension [Int] {
  fileprivate var list: String { isEmpty ? "no server at all" : map(String.init).joined(separator: ", ") }
}
