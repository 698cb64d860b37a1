// The same tables on TimescaleDB, where a server that has it is at hand.
import Foundation
import PostgresStore
import Telemetry
import Testing

/// Set to the URL of a server with TimescaleDB, as a user who may create databases.
private let timescaleURL = ProcessInfo.processInfo.environment["ESP_TEST_TIMESCALE_URL"]

extension DatabaseTests {
  @Suite("TimescaleDB", .enabled(if: timescaleURL != nil, "ESP_TEST_TIMESCALE_URL is not set"))
  struct TimescaleTests {
    @Test("telemetry is a hypertable of one-day chunks, and writing and reading are as on plain PostgreSQL")
    func hypertable() async throws {
      let url = try #require(timescaleURL)
      let administrator = try PostgresConnection(PostgresLocation(url), logger: TestServer.logger)
      let name = "esp_test_\(UUID().uuidString.prefix(8).lowercased())"
      try administrator.execute("CREATE DATABASE \(name)")
      var parts = try #require(URLComponents(string: url))
      parts.path = "/" + name
      let location = try PostgresLocation(try #require(parts.string))
      try Migrator(location, logger: TestServer.logger).up()
      let writer = ReadingWriter(location, logger: TestServer.logger)
      let move = CursorMove(producerID: "p", from: 0, to: 1)
      try writer.commit(WriteTransaction([ReadingBatch(from: noon, count: 3, step: 86_400 * second)], moves: [move]))

      try expectDayChunks(location)
      var query = ReadingQuery()
      (query.startTime, query.endTime, query.order) = (0, noon + 400 * 86_400 * second, .ascending)
      let page = try await ReadingReader(location, logger: TestServer.logger).page(query)
      #expect(page.readings.batch.readings.map(\.timestamp) == (0..<3).map { noon + $0 * 86_400 * second })
      try administrator.execute("DROP DATABASE \(name) WITH (FORCE)")
    }

    func expectDayChunks(_ location: PostgresLocation) throws {
      let connection = try PostgresConnection(location, logger: TestServer.logger)
      let rows = try connection.query("""
        SELECT time_interval = INTERVAL '1 day', num_chunks
        FROM timescaledb_information.dimensions JOIN timescaledb_information.hypertables USING (hypertable_name)
        WHERE hypertable_name = 'telemetry'
        """)
      #expect(rows.count == 1)
      #expect(rows.bool(0, 0))
      #expect(rows.int64(0, 1) == 3)
    }
  }
}
