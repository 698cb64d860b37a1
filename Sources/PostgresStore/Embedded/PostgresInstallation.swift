// Where the server's programs are.

/// The programs of one major version of PostgreSQL.
struct PostgresInstallation: Sendable, Equatable {
  let version: Int
  /// The folder of `postgres` and `initdb`.
  let programs: String

  /// Debian's place: /usr/lib/postgresql/<version>/bin.
  static let debianFolder = "/usr/lib/postgresql"
  static let minimumVersion = 14

  /// The newest, or the one of `version` when a cluster demands it.
  static func find(version: Int?,
                   in folder: String = debianFolder) throws(EmbeddedPostgresError) -> PostgresInstallation {
    let installed = all(in: folder)
    if let version {
      guard let match = installed.first(where: { $0.version == version }) else { throw .notInstalled(version: version) }
      return match
    }
    guard let newest = installed.last, newest.version >= minimumVersion else { throw .notInstalled(version: nil) }
    return newest
  }

  /// Oldest first. On other systems the programs lie somewhere on the path.
  static func all(in folder: String = debianFolder) -> [PostgresInstallation] {
    let debian = FileSystem.names(in: folder).compactMap { name -> PostgresInstallation? in
      guard let version = Int(name), isComplete(folder + "/\(name)/bin") else { return nil }
      return PostgresInstallation(version: version, programs: folder + "/\(name)/bin")
    }
    guard debian.isEmpty, folder == debianFolder else { return debian.sorted { $0.version < $1.version } }
    return ["/usr/local/bin", "/usr/bin", "/usr/local/pgsql/bin"].filter(isComplete).compactMap(installation)
  }

  private static func isComplete(_ programs: String) -> Bool {
    FileSystem.isExecutable(programs + "/postgres") && FileSystem.isExecutable(programs + "/initdb")
  }

  /// Asks `postgres --version` which it is: "postgres (PostgreSQL) 15.18".
  private static func installation(_ programs: String) -> PostgresInstallation? {
    guard let account = try? ServerAccount.current(),
          let directory = try? FileSystem.makeRandomDirectory(in: "/tmp", for: account) else { return nil }
    defer { FileSystem.removeTree(directory) }
    let output = directory + "/version"
    guard let child = try? ChildProcess([programs + "/postgres", "--version"], output: output),
          child.waitAndReap() == .exited(0), let text = FileSystem.contents(of: output),
          let version = text.split(separator: " ").last?.prefix(while: \.isNumber) else { return nil }
    return Int(version).map { PostgresInstallation(version: $0, programs: programs) }
  }
}
