// One PostgreSQL server for the whole test run, and a database of its own for each test.
import Foundation
import Logging
import PostgresStore
import Synchronization

/// A server in a temporary folder, started by the first test that needs it and stopped when the run ends. If the run is
/// killed the server ends by itself (`setpriv --pdeathsig`).
enum TestServer {
  static let logger: Logger = {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return logger
  }()

  static func shared() throws -> EmbeddedPostgres { try started.get() }

  private static let started = Result {
    let folder = try TemporaryFolder()
    let server = try EmbeddedPostgres(DataDirectoryLock(directory: folder.path), logger: logger)
    running.withLock { $0 = (server, folder) }
    atexit {
      running.withLock { running in
        running?.server.stop()
        running?.folder.remove()
      }
    }
    return server
  }

  private static let running = Mutex<(server: EmbeddedPostgres, folder: TemporaryFolder)?>(nil)
}

/// An empty database, or a migrated one.
struct TestDatabase {
  let location: PostgresLocation
  let server: EmbeddedPostgres
  let name: String
  private static let count = Atomic<Int>(0)

  init(on server: EmbeddedPostgres? = nil, migrated: Bool = true) throws {
    let server = try server ?? TestServer.shared()
    self.server = server
    name = "test_\(Self.count.add(1, ordering: .relaxed).newValue)"
    let administrator = try PostgresConnection(server.administration, logger: TestServer.logger)
    try administrator.execute("CREATE DATABASE \(name) OWNER \(EmbeddedPostgres.user)")
    location = PostgresLocation(socketDirectory: server.location.host, database: name, user: EmbeddedPostgres.user)
    if migrated { try Migrator(location, logger: TestServer.logger).up() }
  }

  func connect() throws -> PostgresConnection { try PostgresConnection(location, logger: TestServer.logger) }

  func writer() -> ReadingWriter { ReadingWriter(location, logger: TestServer.logger) }

  func reader() -> ReadingReader { ReadingReader(location, logger: TestServer.logger) }

  func migrator() -> Migrator { Migrator(location, logger: TestServer.logger) }

  func count(_ expression: String = "*", in table: String = "telemetry") throws -> Int {
    Int(try connect().query("SELECT count(\(expression)) FROM \(table)").int64(0, 0))
  }

  /// Ends every other connection to this database; returns when they are gone.
  func terminateConnections() throws(PostgresError) {
    let administrator = try PostgresConnection(server.administration, logger: TestServer.logger)
    _ = try administrator.query(
      "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1", [.text(name)])
  }
}

/// A folder under /tmp that anybody may enter. Removed by `remove()`.
struct TemporaryFolder: Sendable {
  let path: String

  init(_ name: String = "", permissions: Int = 0o755) throws {
    path = "/tmp/espd-test-\(UUID().uuidString.prefix(8))\(name)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true,
                                            attributes: [.posixPermissions: permissions])
  }

  func remove() {
    // Best effort: it is the system's folder for temporary things.
    try? FileManager.default.removeItem(atPath: path)
  }
}
