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
