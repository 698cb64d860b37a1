// The private database: a PostgreSQL of our own in the data directory, for whoever has no server to give us.
package import Logging

/// Starts and stops a PostgreSQL server as our child; reachable by a Unix socket in a private folder, and by nothing
/// else. All calls block: at start and at the end of the program, never on a loop.
///
/// When the server dies it is started again; writers and readers reconnect by themselves.
package final class EmbeddedPostgres: Sendable {
  package static let user = "alkhorayef_user"
  package static let database = "alkhorayef_db"
  /// Recovery after a crash reads up to `max_wal_size` of log.
  static let startTimeout: Duration = .seconds(60)

  /// Where writers, readers and migrations connect to.
  package let location: PostgresLocation
  /// The same server as its superuser `postgres`: for backups and for tests that break it.
  package let administration: PostgresLocation
  private let cluster: ClusterDirectory
  private let supervisor: ServerSupervisor
  /// Held as long as the server runs.
  private let lock: DataDirectoryLock

  /// Finds or makes the cluster, starts the server, and returns when it answers and the database is there.
  package init(_ lock: DataDirectoryLock, relocationFolder: String? = nil,
               logger: Logger) throws(EmbeddedPostgresError) {
    self.lock = lock
    let account = try ServerAccount.current()
    let cluster = try ClusterDirectory(in: lock.directory,
                                       relocationFolder: relocationFolder ?? ClusterDirectory.relocationFolder, account)
    self.cluster = cluster
    let installation = try Self.installation(for: cluster)
    let leftover = LeftoverServer(data: cluster.data, logger: logger)
    if try cluster.version() == nil {
      logger.notice("making a database", metadata: ["folder": "\(cluster.path)", "version": "\(installation.version)"])
      try cluster.initialize(installation)
    }
    try leftover.clear()
    cluster.rotateLog()
    try FileSystem.write(ClusterConfiguration.text, to: cluster.settings, for: account)
    let sockets = try cluster.makeSocketDirectory()
    location = PostgresLocation(socketDirectory: sockets, database: Self.database, user: Self.user)
    administration = PostgresLocation(socketDirectory: sockets, database: "postgres", user: "postgres")
    supervisor = ServerSupervisor(logger: logger) { () throws(EmbeddedPostgresError) in
      try leftover.clear()
      return try ChildProcess(
        account.command(installation.programs + "/postgres",
                        ClusterConfiguration.arguments(cluster, socketDirectory: sockets)),
        output: cluster.log)
    }
    supervisor.start()
    do throws(EmbeddedPostgresError) {
      try waitUntilReady(logger)
    } catch {
      stop()
      throw error
    }
  }

  deinit { stop() }

  /// Fast shutdown: open transactions are rolled back, the data are flushed. Returns when the server is gone.
  package func stop() {
    supervisor.stop()
    cluster.removeSocketDirectory()
  }

  /// The server's process, for tests that kill it; nil while there is none.
  package var processID: Int32? { supervisor.processID }

  /// What the server writes for people.
  package var logPath: String { cluster.log }

  private static func installation(
    for cluster: ClusterDirectory
  ) throws(EmbeddedPostgresError) -> PostgresInstallation {
    guard let version = try cluster.version() else { return try .find(version: nil) }
    do throws(EmbeddedPostgresError) {
      return try .find(version: version)
    } catch {
      throw .otherVersion(cluster: version, installed: PostgresInstallation.all().map(\.version),
                          directory: cluster.data)
    }
  }

  private func waitUntilReady(_ logger: Logger) throws(EmbeddedPostgresError) {
    let giveUp = ContinuousClock.now + Self.startTimeout
    let pause = StopSignal()
    while true {
      do throws(PostgresError) {
        let connection = try PostgresConnection(administration, deadline: giveUp, logger: logger)
        return try makeDatabase(connection)
      } catch {
        // A server that cannot start says why in its log; five attempts are three seconds of trying.
        guard .now < giveUp, supervisor.unexpectedExits < 5 else {
          throw .failed("The private database does not start: \(error). The end of \(cluster.log):\n"
            + FileSystem.tail(of: cluster.log))
        }
      }
      pause.sleep(for: .milliseconds(20))
    }
  }

  private func makeDatabase(_ connection: PostgresConnection) throws(PostgresError) {
    if try connection.query("SELECT FROM pg_roles WHERE rolname = $1", [.text(Self.user)]).count == 0 {
      try connection.execute("CREATE ROLE \(Self.user) LOGIN")
    }
    if try connection.query("SELECT FROM pg_database WHERE datname = $1", [.text(Self.database)]).count == 0 {
      try connection.execute("CREATE DATABASE \(Self.database) OWNER \(Self.user)")
    }
  }
}
