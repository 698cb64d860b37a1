// Cursors that nobody uses expire; those in use, and those that come back in time, do not.
import PostgresStore
import Synchronization
import Telemetry
import Testing

extension DatabaseTests {
  @Suite("Cursor sweep") struct CursorSweepTests {
    /// Cursors by the number of days that they have been unused.
    func cursors(_ days: [String: Int]) throws -> TestDatabase {
      let database = try TestDatabase()
      for (id, age) in days {
        _ = try database.connect().query("""
          INSERT INTO producer_cursor (producer_id, last_sequence, updated_at)
          VALUES ($1, 7, NOW() - $2::bigint * INTERVAL '1 day')
          """, [.text(id), .int64(Int64(age))])
      }
      return database
    }

    func left(_ database: TestDatabase) throws -> [String] {
      let rows = try database.connect().query("SELECT producer_id FROM producer_cursor ORDER BY producer_id")
      return (0..<rows.count).map { rows.text($0, 0) }
    }

    func sweep(_ database: TestDatabase, days: Int?) -> CursorSweep {
      CursorSweep(database.location, expiry: days.map { .seconds(86_400 * $0) }, logger: TestServer.logger)
    }

    @Test("clients' cursors expire by the setting, servers' own after 30 days") func ages() async throws {
      let database = try cursors(["fresh": 0, "old": 89, "expired": 91, "~own": 29, "~old-own": 31])
      #expect(try await sweep(database, days: 90).sweep { $0 } == 2)
      #expect(try left(database) == ["fresh", "old", "~own"])
    }

    @Test("0 days: clients' cursors never expire") func never() async throws {
      let database = try cursors(["ancient": 36_000, "~old-own": 31])
      #expect(try await sweep(database, days: nil).sweep { $0 } == 1)
      #expect(try left(database) == ["ancient"])
    }

    @Test("more than a batch, some of them in use: those stay and hold up nobody") func batches() async throws {
      let ids = (0..<1200).map { "p\($0 + 1000)" }
      let database = try cursors([:])
      _ = try database.connect().query("""
        INSERT INTO producer_cursor (producer_id, last_sequence, updated_at)
        SELECT id, 7, NOW() - INTERVAL '100 days' FROM unnest($1::text[]) AS id
        """, [.texts(ids)])
      let used = Set(ids.enumerated().filter { $0.offset.isMultiple(of: 3) }.map(\.element))
      #expect(try await sweep(database, days: 90).sweep { $0.filter { !used.contains($0) } } == 800)
      #expect(try left(database) == used.sorted())
    }

    @Test("who is asked for again between the look and the deletion is used, and stays") func comesBack() async throws {
      let database = try cursors(["back": 100, "gone": 100])
      let count = try await sweep(database, days: 90).sweep { ids in
        // As a stream's opening does.
        _ = try? database.writer().cursors(for: ["back"])
        return ids
      }
      #expect(count == 1)
      #expect(try left(database) == ["back"])
      #expect(try database.writer().cursors(for: ["back", "gone"]) == ["back": 7])
    }

    @Test("a producer that comes back after its cursor has gone begins anew") func beginsAnew() async throws {
      let database = try cursors(["p": 100])
      #expect(try await sweep(database, days: 90).sweep { $0 } == 1)
      let writer = database.writer()
      #expect(throws: WriteFailure.cursorConflict(producerIDs: ["p"])) {
        try writer.commit(WriteTransaction([ReadingBatch(count: 1)], moves: [.init(producerID: "p", from: 7, to: 8)]))
      }
      try writer.commit(WriteTransaction([ReadingBatch(count: 1)], moves: [.init(producerID: "p", from: 0, to: 1)]))
      #expect(try database.count() == 1)
    }
  }
}
