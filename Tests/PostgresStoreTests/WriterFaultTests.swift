// Connections cut, answers lost and servers killed at every step of a commit: nothing lost, nothing doubled.
import Foundation
import PostgresStore
import Synchronization
import Telemetry
import Testing

extension DatabaseTests {
  @Suite("Writer under faults") struct WriterFaultTests {
    enum Fault: CaseIterable {
      /// The server ends our session.
      case terminate
      /// Our side loses the connection at once; the server may still be at work.
      case drop
      /// Our side loses the connection when the server has done all it was asked.
      case dropLate
    }

    /// Reproducible: the same faults in each run.
    struct Dice: RandomNumberGenerator {
      var state: UInt64
      mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ state >> 33
      }
    }

    static func inflict(_ fault: Fault, at stage: WriteStage, on database: TestDatabase) throws(PostgresError) {
      switch fault {
      case .terminate: try database.terminateConnections()
      case .drop: throw PostgresError(.connectionLost, "test: dropped")
      case .dropLate:
        if stage == .commitSent {
          let connection = try PostgresConnection(database.location, logger: TestServer.logger)
          let limit = ContinuousClock.now + .seconds(5)
          while ContinuousClock.now < limit, try connection.query("""
            SELECT FROM pg_stat_activity
            WHERE datname = current_database() AND state = 'active' AND query = 'COMMIT'
            """).count > 0 {}
        }
        throw PostgresError(.connectionLost, "test: dropped late")
      }
    }

    /// Each reading once, each cursor at its end.
    func expectExactly(_ batches: Int, of count: Int, in database: TestDatabase) throws {
      #expect(try database.count() == batches * count)
      #expect(try database.count("DISTINCT (device_id, timestamp)") == batches * count)
      #expect(try database.writer().cursors(for: ["p"]) == ["p": UInt64(batches)])
    }

    @Test("200 faults at random steps of a stream") func random() throws {
      let database = try TestDatabase()
      let writer = database.writer()
      var dice = Dice(state: 20_261_123)
      let count = 50
      let faults = 200
      for sequence in 1...UInt64(faults) {
        let stage = WriteStage.allCases.randomElement(using: &dice) ?? .begun
        let fault = Fault.allCases.randomElement(using: &dice) ?? .drop
        let isDone = Mutex(false)
        writer.probe = { current throws(PostgresError) in
          guard current == stage, !isDone.withLock({ done in defer { done = true }; return done }) else { return }
          try Self.inflict(fault, at: stage, on: database)
        }
        let batch = ReadingBatch(from: noon + Int64(sequence) * 100 * second, count: count)
        let move = CursorMove(producerID: "p", from: sequence - 1, to: sequence)
        try writer.commit(WriteTransaction([batch], moves: [move]))
      }
      try expectExactly(faults, of: count, in: database)
    }

    @Test("without a cursor the rows themselves tell whether a lost commit happened", arguments: Fault.allCases)
    func withoutCursor(fault: Fault) throws {
      let database = try TestDatabase()
      let writer = database.writer()
      for round in 0..<5 {
        let isDone = Mutex(false)
        writer.probe = { stage throws(PostgresError) in
          guard stage == .commitSent, !isDone.withLock({ done in defer { done = true }; return done }) else { return }
          try Self.inflict(fault, at: stage, on: database)
        }
        try writer.commit(WriteTransaction([ReadingBatch(from: noon + Int64(round) * 100 * second, count: 20)]))
      }
      #expect(try database.count() == 100)
      #expect(try database.count("DISTINCT timestamp") == 100)
    }

    /// The server forgets the transaction wholly, and gives its number to another one, which commits: a writer that
    /// asked for the number's fate alone would believe that its rows are stored.
    @Test("a COMMIT that was sent and never done is not taken for another transaction with its number",
          .timeLimit(.minutes(3)), arguments: [true, false])
    func reusedNumber(hasCursor: Bool) throws {
      let folder = try TemporaryFolder()
      defer { folder.remove() }
      let server = try EmbeddedPostgres(DataDirectoryLock(directory: folder.path), logger: TestServer.logger)
      defer { server.stop() }
      let database = try TestDatabase(on: server)
      // Nothing of an open transaction reaches the disk by itself.
      let administrator = try PostgresConnection(server.administration, logger: TestServer.logger)
      try administrator.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
      try administrator.execute("SELECT pg_reload_conf()")
      let writer = database.writer()
      // Makes the partition and its files.
      try writer.commit(WriteTransaction([ReadingBatch(count: 1)]))
      let backend = Mutex<Int32>(0)
      writer.probe = { stage throws(PostgresError) in
        switch stage {
        case .rowsCopied where backend.withLock({ $0 == 0 }):
          let process = try Self.backend(of: database)
          backend.withLock { $0 = process }
          kill(process, SIGSTOP)
        case .commitSent where backend.withLock({ $0 > 0 }):
          kill(backend.withLock { process in defer { process = -1 }; return process }, SIGKILL)
          try Self.useUpNumbers(database)
        default: break
        }
      }
      let moves = hasCursor ? [CursorMove(producerID: "p", from: 0, to: 1)] : []
      try writer.commit(WriteTransaction([ReadingBatch(from: noon + 100 * second, count: 7)], moves: moves))
      #expect(backend.withLock { $0 } == -1)
      #expect(try database.count() == 8)
    }

    /// The session that has a transaction open.
    static func backend(of database: TestDatabase) throws(PostgresError) -> Int32 {
      let connection = try PostgresConnection(database.server.administration, logger: TestServer.logger)
      let rows = try connection.query(
        "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND xact_start IS NOT NULL", [.text(database.name)])
      guard rows.count == 1 else { throw PostgresError(.other, "test: \(rows.count) open transactions") }
      return rows.int32(0, 0)
    }

    /// Waits for the server to be back after a crash, and commits a few transactions.
    static func useUpNumbers(_ database: TestDatabase) throws(PostgresError) {
      let limit = ContinuousClock.now + .seconds(30)
      var committed = 0
      while committed < 20 {
        do throws(PostgresError) {
          let connection = try PostgresConnection(database.server.administration, logger: TestServer.logger)
          // The first ones may still reach the server that is going down.
          _ = try connection.query("SELECT pg_current_xact_id()")
          committed += 1
        } catch {
          guard .now < limit else { throw error }
          committed = 0
        }
      }
    }

    @Test("the server is killed at each step of a commit, and once more during recovery", .timeLimit(.minutes(3)))
    func crashes() throws {
      let folder = try TemporaryFolder()
      defer { folder.remove() }
      let server = try EmbeddedPostgres(DataDirectoryLock(directory: folder.path), logger: TestServer.logger)
      defer { server.stop() }
      let database = try TestDatabase(on: server)
      let writer = database.writer()
      var sequence: UInt64 = 0
      let count = 200
      for stage in WriteStage.allCases {
        for signal in [SIGQUIT, SIGINT] {
          for _ in 0..<5 {
            sequence += 1
            let isDone = Mutex(sequence % 5 != 1)
            writer.probe = { current in
              guard current == stage, !isDone.withLock({ done in defer { done = true }; return done }) else { return }
              if let process = server.processID { kill(process, signal) }
            }
            let batch = ReadingBatch(from: noon + Int64(sequence) * 1000 * second, count: count)
            let move = CursorMove(producerID: "p", from: sequence - 1, to: sequence)
            try writer.commit(WriteTransaction([batch], moves: [move]))
          }
        }
      }
      try expectExactly(Int(sequence), of: count, in: database)
    }
  }
}
