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

  static let shared: EmbeddedPostgres = {
    let folder = TemporaryFolder()
    let server = try! EmbeddedPostgres(try! DataDirectoryLock(directory: folder.path), logger: logger)
    running.withLock { $0 = (server, folder) }
    atexit { running.withLock { $0?.0.stop(); $0?.1.remove() } }
    return server
  }()

  private static let running = Mutex<(EmbeddedPostgres, TemporaryFolder)?>(nil)
}

/// An empty database, or a migrated one.
struct TestDatabase {
  let location: PostgresLocation
  let server: EmbeddedPostgres
  private static let count = Atomic<Int>(0)

  init(on server: EmbeddedPostgres = TestServer.shared, migrated: Bool = true) throws {
    self.server = server
    let name = "test_\(Self.count.add(1, ordering: .relaxed).newValue)"
    let administrator = try PostgresConnection(server.administration, logger: TestServer.logger)
    try administrator.execute("CREATE DATABASE \(name) OWNER \(EmbeddedPostgres.user)")
    location = PostgresLocation(socketDirectory: server.location.host, database: name, user: EmbeddedPostgres.user)
    if migrated { try Migrator(location, logger: TestServer.logger).up() }
  }

  func connect() throws -> PostgresConnection { try PostgresConnection(location, logger: TestServer.logger) }

  func writer() -> ReadingWriter { ReadingWriter(location, logger: TestServer.logger) }

  func count(_ table: String = "telemetry", where condition: String = "true") throws -> Int {
    Int(try connect().query("SELECT count(*) FROM \(table) WHERE \(condition)").int64(0, 0))
  }
}

/// A folder under /tmp that anybody may enter. Removed by `remove()`.
struct TemporaryFolder: Sendable {
  let path: String

  init(_ name: String = "", mode: Int = 0o755) {
    path = "/tmp/espd-test-\(UUID().uuidString.prefix(8))\(name)"
    try! FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true,
                                             attributes: [.posixPermissions: mode])
  }

  func remove() { try? FileManager.default.removeItem(atPath: path) }
}
