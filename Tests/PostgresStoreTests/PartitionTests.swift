// Day partitions: there when rows come, whoever asks first.
import PostgresStore
import Telemetry
import Testing

extension DatabaseTests {
  @Suite("Day partitions") struct PartitionTests {
    static let day = 86_400 * second

    func partitions(_ database: TestDatabase) throws -> [String] {
      let rows = try database.connect().query(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'telemetry'::regclass ORDER BY 1")
      return (0..<rows.count).map { rows.text($0, 0) }
    }

    @Test("today and three days ahead are made beforehand, other days when their rows come") func made() throws {
      let database = try TestDatabase()
      let writer = database.writer()
      try writer.commit(WriteTransaction([], moves: [CursorMove(producerID: "p", from: 0, to: 1)]))
      let today = try database.connect().query("""
        SELECT 'telemetry_p' || to_char(NOW() + days * INTERVAL '1 day', 'YYYYMMDD') FROM generate_series(0, 3) AS days
        """)
      #expect(try partitions(database) == (0..<today.count).map { today.text($0, 0) })
      try writer.commit(WriteTransaction([ReadingBatch(from: noon, count: 1), ReadingBatch(from: 0, count: 1)]))
      #expect(try partitions(database).starts(with: ["telemetry_p19700101", "telemetry_p20251123"]))
    }

    @Test("the last microsecond of a day and the first of the next are in their own partitions")
    func boundary() throws {
      let database = try TestDatabase()
      let midnight = noon + Self.day / 2
      try database.writer().commit(WriteTransaction([ReadingBatch(from: midnight - 1, count: 2, step: 1)]))
      let rows = try database.connect().query("SELECT tableoid::regclass::text FROM telemetry ORDER BY timestamp")
      #expect((0..<2).map { rows.text($0, 0) } == ["telemetry_p20251123", "telemetry_p20251124"])
    }

    @Test("days before 1970, leap days and far years get the right name", arguments: [
      (Int64(-1), "telemetry_p19691231"), (951_782_400_000_000, "telemetry_p20000229"),
      (1_709_164_800_000_000, "telemetry_p20240229"), (4_107_542_399_999_999, "telemetry_p21000228"),
    ])
    func names(time: Int64, name: String) throws {
      let database = try TestDatabase()
      try database.writer().commit(WriteTransaction([ReadingBatch(from: time, count: 1)]))
      let rows = try database.connect().query("SELECT tableoid::regclass::text FROM telemetry")
      #expect(rows.text(0, 0) == name)
    }

    @Test("many servers that need the same new days at once all store their rows") func concurrent() async throws {
      let database = try TestDatabase()
      try await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<4 {
          group.addTask {
            let batch = ReadingBatch(devices: ["ESP\(index)"], from: noon, count: 10, step: Self.day)
            try database.writer().commit(WriteTransaction([batch]))
          }
        }
        try await group.waitForAll()
      }
      #expect(try database.count() == 40)
      #expect(try partitions(database).count == 14)
    }

    @Test("a partition that was dropped behind the writer's back is made again") func dropped() throws {
      let database = try TestDatabase()
      let writer = database.writer()
      try writer.commit(WriteTransaction([ReadingBatch(count: 1)]))
      try database.connect().execute("DROP TABLE telemetry_p20251123")
      try writer.commit(WriteTransaction([ReadingBatch(count: 5)]))
      #expect(try database.count() == 5)
    }

    @Test("a reader in the middle of its transaction does not hold up a new partition") func notBlocked() throws {
      let database = try TestDatabase()
      try database.writer().commit(WriteTransaction([ReadingBatch(count: 1)]))
      let reader = try database.connect()
      try reader.execute("BEGIN; SELECT count(*) FROM telemetry")
      let writer = database.writer()
      try writer.commit(WriteTransaction([ReadingBatch(from: noon + 5 * Self.day, count: 1)]))
      #expect(try database.count() == 2)
      try reader.execute("COMMIT")
    }
  }
}
