// The private database: starts from whatever state the last run left, and says what is wrong when it cannot.
import Foundation
import PostgresStore
import Telemetry
import Testing

extension DatabaseTests {
  @Suite("Embedded PostgreSQL") struct EmbeddedPostgresTests {
    func withFolder(_ name: String = "", permissions: Int = 0o755, _ body: (TemporaryFolder) throws -> Void) throws {
      let folder = try TemporaryFolder(name, permissions: permissions)
      defer { folder.remove() }
      try body(folder)
    }

    /// Starts, uses, stops and forgets a server: its lock goes with it.
    func withServer(_ path: String, relocationFolder: String? = nil,
                    _ body: (EmbeddedPostgres) throws -> Void = { _ in }) throws {
      let server = try start(path, relocationFolder: relocationFolder)
      defer { server.stop() }
      try body(server)
    }

    func start(_ path: String, relocationFolder: String? = nil) throws -> EmbeddedPostgres {
      try EmbeddedPostgres(DataDirectoryLock(directory: path), relocationFolder: relocationFolder,
                           logger: TestServer.logger)
    }

    func write(_ text: String, to path: String) throws {
      try text.write(toFile: path, atomically: false, encoding: .utf8)
    }

    func expectAnswers(_ server: EmbeddedPostgres) throws {
      let connection = try PostgresConnection(server.location, logger: TestServer.logger)
      let rows = try connection.query("SELECT current_user::text, current_database()::text")
      #expect(rows.text(0, 0) == "alkhorayef_user")
      #expect(rows.text(0, 1) == "alkhorayef_db")
    }

    @Test("what was written is there after stop and start, and a stop leaves no process and no socket")
    func restart() throws {
      try withFolder { folder in
        var process: Int32 = 0
        try withServer(folder.path) { server in
          try expectAnswers(server)
          try PostgresConnection(server.location, logger: TestServer.logger).execute("CREATE TABLE t AS SELECT 42 AS n")
          process = try #require(server.processID)
        }
        #expect(kill(process, 0) == -1)
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/postgres/socket/.s.PGSQL.5432"))
        try withServer(folder.path + "/../" + (folder.path as NSString).lastPathComponent) { server in
          let rows = try PostgresConnection(server.location, logger: TestServer.logger).query("SELECT n FROM t")
          #expect(rows.int32(0, 0) == 42)
        }
      }
    }

    @Test("only the socket: no network, and a folder that is closed to others") func isPrivate() throws {
      let server = try TestServer.shared()
      let connection = try PostgresConnection(server.administration, logger: TestServer.logger)
      #expect(try connection.query("SELECT current_setting('listen_addresses')").text(0, 0).isEmpty)
      let durable = try connection.query("SELECT current_setting('fsync'), current_setting('synchronous_commit')")
      #expect((0..<2).map { durable.text(0, $0) } == ["on", "on"])
      let attributes = try FileManager.default.attributesOfItem(atPath: server.location.host)
      #expect(attributes[.posixPermissions] as? Int == 0o700)
    }

    @Test("our settings are in force, and the operator's win over them") func settings() throws {
      try withFolder { folder in
        func setting(_ name: String) throws -> String {
          var value = ""
          try withServer(folder.path) { server in
            value = try PostgresConnection(server.location, logger: TestServer.logger)
              .query("SELECT current_setting($1)", [.text(name)]).text(0, 0)
          }
          return value
        }
        #expect(try setting("max_wal_size") == "4GB")
        let file = try #require(FileHandle(forWritingAtPath: folder.path + "/postgres/data/postgresql.conf"))
        try file.seekToEnd()
        try file.write(contentsOf: Data("max_wal_size = 2GB\n".utf8))
        try file.close()
        #expect(try setting("max_wal_size") == "2GB")
      }
    }

    @Test("a second espd on the same data directory is told who has it") func locked() throws {
      try withFolder { folder in
        let lock = try DataDirectoryLock(directory: folder.path)
        let error = #expect(throws: EmbeddedPostgresError.self) { try DataDirectoryLock(directory: folder.path) }
        #expect(error?.description.contains("is in use by another espd (process \(getpid()))") == true)
        withExtendedLifetime(lock) {}
      }
    }

    @Test("a killed server is started again, and its data are there", arguments: [SIGKILL, SIGQUIT, SIGTERM])
    func killed(signal: Int32) throws {
      try withFolder { folder in
        let server = try start(folder.path)
        defer { server.stop() }
        let database = try TestDatabase(on: server)
        try database.writer().commit(WriteTransaction([.init(count: 10)]))
        let process = try #require(server.processID)
        kill(process, signal)
        // The writer waits until the server is back.
        try database.writer().commit(WriteTransaction([.init(from: noon + 100 * second, count: 10)]))
        #expect(try database.count() == 20)
        #expect(server.processID != process)
      }
    }

    @Test("a stale pid file does not matter: of a process that is gone, or of one that is something else",
          arguments: [Int32(4_000_000), getpid()])
    func stalePIDFile(process: Int32) throws {
      try withFolder { folder in
        try withServer(folder.path)
        try write("\(process)\n\(folder.path)/postgres/data\n1763899200\n5432\n\n\n        1         1\nready   \n",
                  to: folder.path + "/postgres/data/postmaster.pid")
        try withServer(folder.path, expectAnswers)
      }
    }

    @Test("a server that an earlier espd left running is stopped first") func leftover() throws {
      try withFolder { folder in
        try withServer(folder.path)
        let path = try #require(installedPrograms().first) + "/postgres"
        let leftover = Process()
        leftover.executableURL = URL(filePath: "/usr/bin/setpriv")
        leftover.arguments = (geteuid() == 0 ? ["--reuid=postgres", "--regid=postgres", "--init-groups"] : ["--"])
          + [path, "-D", folder.path + "/postgres/data", "-c", "listen_addresses=",
             "-c", "unix_socket_directories=\(folder.path)/postgres/socket"]
        leftover.currentDirectoryURL = URL(filePath: "/")
        leftover.standardError = FileHandle.nullDevice
        try leftover.run()
        let pidFile = folder.path + "/postgres/data/postmaster.pid"
        while leftover.isRunning, (try? String(contentsOfFile: pidFile, encoding: .utf8))?.contains("ready") != true {
          usleep(10_000)
        }
        #expect(leftover.isRunning)
        try withServer(folder.path) { server in
          leftover.waitUntilExit()
          try expectAnswers(server)
        }
      }
    }

    func installedPrograms() -> [String] {
      let folder = "/usr/lib/postgresql"
      let versions = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      return versions.map { "\(folder)/\($0)/bin" }
    }

    @Test("a cluster of another version: both versions are named, and what to install") func otherVersion() throws {
      try withFolder { folder in
        try withServer(folder.path)
        try write("9\n", to: folder.path + "/postgres/data/PG_VERSION")
        let error = #expect(throws: EmbeddedPostgresError.self) { try start(folder.path) }
        let installed = if case .otherVersion(9, let installed, _) = error { installed } else { [Int]() }
        #expect(!installed.isEmpty)
        #expect(error?.description.contains("apt-get install postgresql-9") == true)
      }
    }

    @Test("a folder that is not ours is left alone") func notOurs() throws {
      try withFolder { folder in
        try FileManager.default.createDirectory(atPath: folder.path + "/postgres", withIntermediateDirectories: true)
        try write("mine", to: folder.path + "/postgres/thesis.txt")
        let error = #expect(throws: EmbeddedPostgresError.self) { try start(folder.path) }
        #expect(error?.description.contains("holds files that espd did not make") == true)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/postgres") == ["thesis.txt"])
      }
    }

    @Test("an initdb that was killed halfway is done again") func interruptedInitialization() throws {
      try withFolder { folder in
        try withServer(folder.path)
        let cluster = folder.path + "/postgres"
        try FileManager.default.moveItem(atPath: cluster + "/data", toPath: cluster + "/data.new")
        try FileManager.default.removeItem(atPath: cluster + "/data.new/global")
        try withServer(folder.path, expectAnswers)
        #expect(!FileManager.default.fileExists(atPath: cluster + "/data.new"))
      }
    }

    @Test("paths with spaces, quotes and commas, and paths too long for a socket", arguments: [
      " with space, comma and 'quote'", "-" + String(repeating: "long", count: 30),
    ])
    func oddPaths(name: String) throws {
      try withFolder(name) { folder in
        var sockets = ""
        try withServer(folder.path) { server in
          try expectAnswers(server)
          sockets = server.location.host
          #expect((sockets + "/.s.PGSQL.5432").utf8.count <= 100)
        }
        #expect(!FileManager.default.fileExists(atPath: sockets + "/.s.PGSQL.5432"))
        try withServer(folder.path, expectAnswers)
      }
    }

    @Test("a private home: the cluster lies where its user can go, and the data directory points there",
          .enabled(if: geteuid() == 0, "only root runs the server as another user"))
    func privateHome() throws {
      try withFolder { elsewhere in
        try withFolder("-home", permissions: 0o700) { home in
          let data = home.path + "/project/data"
          try withServer(data, relocationFolder: elsewhere.path, expectAnswers)
          let target = try FileManager.default.destinationOfSymbolicLink(atPath: data + "/postgres")
          #expect(target.hasPrefix(elsewhere.path + "/"))
          try withServer(data, relocationFolder: elsewhere.path, expectAnswers)
          try FileManager.default.removeItem(atPath: target)
          let error = #expect(throws: EmbeddedPostgresError.self) { try start(data, relocationFolder: elsewhere.path) }
          #expect(error?.description.contains("which is gone") == true)
        }
      }
    }

    @Test("a server that cannot start says why, with the end of its log") func brokenConfiguration() throws {
      try withFolder { folder in
        try withServer(folder.path)
        let configuration = folder.path + "/postgres/data/postgresql.conf"
        try write("shared_buffers = 'plenty'\n", to: configuration)
        let error = #expect(throws: EmbeddedPostgresError.self) { try start(folder.path) }
        #expect(error?.description.contains("shared_buffers") == true)
      }
    }
  }
}
