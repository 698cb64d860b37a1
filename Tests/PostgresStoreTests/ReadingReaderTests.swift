// Queries: every reading once whatever the page size, and limits that hold.
import Foundation
import PostgresStore
import Status
import Telemetry
import Testing

extension DatabaseTests {
  @Suite("Reading reader") struct ReadingReaderTests {
    /// All pages of a query, as "timestamp device temperature".
    func walk(_ query: ReadingQuery, _ reader: ReadingReader) async throws -> [String] {
      var query = query
      var all: [String] = []
      repeat {
        let page = try await reader.page(query)
        #expect(page.readings.count <= query.limit)
        all += Self.lines(page.readings)
        query.pageToken = page.nextPageToken
      } while !query.pageToken.isEmpty
      return all
    }

    static func lines(_ readings: StoredReadings) -> [String] {
      readings.batch.readings.map { reading in
        "\(reading.timestamp) \(readings.batch.string(reading.deviceID)) \(reading[.temperature] ?? -1)"
      }
    }

    /// Many equal keys: three devices, 40 moments, each key one to nine times with different and with equal values.
    func crowded() throws -> (TestDatabase, [String]) {
      let database = try TestDatabase()
      let writer = database.writer()
      var expected: [String] = []
      for repeats in 0..<9 {
        var batch = ReadingBatch(devices: ["A", "B", "C"], count: 120)
        batch.readings.removeAll { ($0.timestamp / second) % 9 < repeats }
        for index in batch.readings.indices { batch.readings[index][.temperature] = Float(repeats / 2) }
        expected += batch.readings.map { "\($0.timestamp) \(batch.string($0.deviceID)) \(Float(repeats / 2))" }
        try writer.commit(WriteTransaction([batch]))
      }
      return (database, expected)
    }

    @Test("every page size gives every reading once, in order, in both directions", arguments: [1, 2, 7, 100, 10_000])
    func pages(limit: Int) async throws {
      let (database, expected) = try crowded()
      let reader = database.reader()
      for order in [ReadingQuery.Order.ascending, .descending] {
        for devices in [[], ["B"], ["A", "C"]] {
          var query = ReadingQuery()
          (query.startTime, query.endTime, query.limit, query.order) = (noon, noon + 3600 * second, limit, order)
          query.deviceIDs = devices
          let lines = try await walk(query, reader)
          let wanted = expected.filter { line in devices.isEmpty || devices.contains { line.contains(" \($0) ") } }
          #expect(lines.sorted() == wanted.sorted())
          let keys = lines.map { $0.split(separator: " ").prefix(2).joined(separator: " ") }
          #expect(keys == (order == .ascending ? keys.sorted() : keys.sorted(by: >)))
        }
      }
    }

    @Test("pages that span slices of time, gaps and days lose nothing", arguments: [1, 7, 40, 1000])
    func sparse(limit: Int) async throws {
      let database = try TestDatabase()
      let batches = (0..<4).map { index -> ReadingBatch in
        let start = noon + Int64(index * index) * 20_000 * second
        return ReadingBatch(devices: ["A", "B", "C"], from: start, count: 60, step: 41 * second)
      }
      // Twice: each key is there two times.
      try database.writer().commit(WriteTransaction(batches + batches))
      let reader = database.reader()
      for order in [ReadingQuery.Order.ascending, .descending] {
        for devices in [[], ["C", "A"]] {
          var query = ReadingQuery()
          (query.startTime, query.endTime) = (noon - 86_400 * second * 400, noon + 86_400 * second * 400)
          (query.limit, query.order, query.deviceIDs) = (limit, order, devices)
          let lines = try await walk(query, reader)
          #expect(lines.count == 480 * (devices.isEmpty ? 3 : 2) / 3)
          #expect(Set(lines).count * 2 == lines.count)
        }
      }
    }

    @Test("filters: half-open range, anomalies, quality") func filters() async throws {
      let database = try TestDatabase()
      try database.writer().commit(WriteTransaction([ReadingBatch(count: 100)]))
      try database.connect().execute("""
        UPDATE telemetry SET is_anomaly = TRUE, data_quality_score = 0.25
        WHERE extract(epoch FROM timestamp)::bigint % 10 = 0
        """)
      let reader = database.reader()
      var query = ReadingQuery()
      (query.startTime, query.endTime) = (noon + 10 * second, noon + 20 * second)
      #expect(try await reader.page(query).readings.count == 10)
      query.anomaliesOnly = true
      let page = try await reader.page(query)
      #expect(page.readings.batch.readings.map(\.timestamp) == [noon + 10 * second])
      #expect(page.readings.anomalies == [true])
      #expect(page.readings.scores == [0.25])
      query.minQuality = 0.5
      #expect(try await reader.page(query).readings.count == 0)
      query.anomaliesOnly = false
      #expect(try await reader.page(query).readings.count == 9)
    }

    @Test("without times: the last hour, and the pages agree on which hour that is") func defaultRange() async throws {
      let database = try TestDatabase()
      let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
      try database.writer().commit(WriteTransaction([ReadingBatch(from: now - 7200 * second, count: 7190)]))
      var query = ReadingQuery()
      query.limit = 1500
      let count = try await walk(query, database.reader()).count
      #expect((3580...3590).contains(count))
    }

    @Test("a token is refused when it is malformed or belongs to another query") func tokens() async throws {
      let database = try TestDatabase()
      try database.writer().commit(WriteTransaction([ReadingBatch(count: 10)]))
      let reader = database.reader()
      var query = ReadingQuery()
      (query.startTime, query.endTime, query.limit) = (noon, noon + 100 * second, 3)
      let token = try await reader.page(query).nextPageToken
      #expect(!token.isEmpty)
      query.pageToken = token
      query.limit = 5
      #expect(try await reader.page(query).readings.count == 5)
      for bad in ["x", "AAAA", token + "!", String(token.dropLast(4)), token.replacing("A", with: "é")] {
        query.pageToken = bad
        let error = await #expect(throws: RPCStatus.self) { try await reader.page(query) }
        #expect(error?.code == .invalidArgument, "\(bad)")
      }
      query.pageToken = token
      query.deviceIDs = ["ESP001"]
      let error = await #expect(throws: RPCStatus.self) { try await reader.page(query) }
      #expect(error?.message.contains("other filters") == true)
    }

    @Test("what a query may not ask for is named", arguments: [0, 10_001]) func limits(limit: Int) async throws {
      var query = ReadingQuery()
      query.limit = limit
      let error = await #expect(throws: RPCStatus.self) { try await TestDatabase().reader().page(query) }
      #expect(error?.message == "limit: \(limit) is not in 1..10000: page, or use ExportReadings")
    }

    @Test("an export gives all of 200,000 readings in order, over days and gaps") func export() async throws {
      let database = try TestDatabase()
      let writer = database.writer()
      let devices = (0..<50).map { "ESP-\($0 + 100)" }
      for block in 0..<20 {
        // A gap of twelve hours, and once of two weeks.
        let start = noon + Int64(block) * 43_200 * second + (block > 10 ? 14 * 86_400 * second : 0)
        try writer.commit(WriteTransaction([ReadingBatch(devices: devices, from: start, count: 10_000)]))
      }
      var query = ReadingQuery()
      (query.startTime, query.endTime, query.order) = (0, noon + 365 * 86_400 * second, .ascending)
      let export = try await database.reader().export(query)
      var count = 0
      var last: (Int64, String) = (0, "")
      while let piece = try await export.next() {
        #expect(piece.count <= 5000)
        for reading in piece.batch.readings {
          let key = (reading.timestamp, piece.batch.string(reading.deviceID))
          #expect(key > last)
          last = key
        }
        count += piece.count
      }
      #expect(count == 200_000)
    }

    @Test("the fifth export is refused until one of the four is dropped") func exportLimit() async throws {
      let reader = try TestDatabase().reader()
      var exports: [ReadingExport] = []
      for _ in 0..<ReadingReader.maximumExports { exports.append(try await reader.export(ReadingQuery())) }
      let error = await #expect(throws: RPCStatus.self) { _ = try await reader.export(ReadingQuery()) }
      #expect(error?.code == .resourceExhausted)
      #expect(error?.details.contains { if case .retryInfo = $0 { true } else { false } } == true)
      exports.removeLast()
      _ = try await reader.export(ReadingQuery())
    }

    @Test("a read survives the loss of its idle connection") func reconnect() async throws {
      let database = try TestDatabase()
      let reader = database.reader()
      _ = try await reader.page(ReadingQuery())
      try database.terminateConnections()
      _ = try await reader.page(ReadingQuery())
    }

    @Test("a query that is blocked ends with its deadline or its task, and the reader goes on",
          arguments: [true, false])
    func blocked(byDeadline: Bool) async throws {
      let database = try TestDatabase()
      let reader = database.reader()
      _ = try await reader.page(ReadingQuery())
      let blocker = try database.connect()
      try blocker.execute("BEGIN; LOCK TABLE telemetry IN ACCESS EXCLUSIVE MODE")
      let deadline = ContinuousClock.now + (byDeadline ? .milliseconds(100) : .seconds(20))
      let task = Task { try await reader.page(ReadingQuery(), deadline: deadline) }
      if !byDeadline {
        // Until it waits for the lock.
        let watcher = try PostgresConnection(database.server.administration, logger: TestServer.logger)
        let waiting = "SELECT FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'"
        let limit = ContinuousClock.now + .seconds(15)
        while ContinuousClock.now < limit, try watcher.query(waiting, [.text(database.name)]).count == 0 {}
        task.cancel()
      }
      let error = await #expect(throws: RPCStatus.self) { try await task.value }
      #expect(error?.code == (byDeadline ? .deadlineExceeded : .cancelled))
      try blocker.execute("ROLLBACK")
      _ = try await reader.page(ReadingQuery())
    }

    @Test("more queries than connections all get their turn") func queue() async throws {
      let database = try TestDatabase()
      try database.writer().commit(WriteTransaction([ReadingBatch(count: 100)]))
      let reader = ReadingReader(database.location, connections: 2, logger: TestServer.logger)
      let total = try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<50 {
          group.addTask {
            var query = ReadingQuery()
            (query.startTime, query.endTime) = (noon, noon + 1000 * second)
            return try await reader.page(query).readings.count
          }
        }
        return try await group.reduce(0, +)
      }
      #expect(total == 5000)
    }

    @Test("a stopped server is known as such within three seconds, and as back when it goes on")
    func ping() async throws {
      let database = try TestDatabase()
      let reader = database.reader()
      try await reader.ping()
      let watcher = try database.connect()
      let rows = try watcher.query(
        "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()", [.text(database.name)])
      let processes = (0..<rows.count).map { rows.int32($0, 0) } + [try #require(database.server.processID)]
      for process in processes { kill(process, SIGSTOP) }
      let began = ContinuousClock.now
      let error = await #expect(throws: RPCStatus.self) { try await reader.ping() }
      let took = began.duration(to: .now)
      for process in processes { kill(process, SIGCONT) }
      #expect(error?.code == .deadlineExceeded)
      #expect(took < .seconds(3))
      try await reader.ping()
    }

    @Test("no database: UNAVAILABLE, with the time to try again, and nothing of its address")
    func unavailable() async throws {
      let location = PostgresLocation(socketDirectory: "/tmp/espd-nowhere", database: "d", user: "u")
      let reader = ReadingReader(location, logger: TestServer.logger)
      let error = await #expect(throws: RPCStatus.self) { try await reader.page(ReadingQuery()) }
      #expect(error == .unavailable("The database cannot be reached now.", retryAfter: .seconds(1)))
    }
  }
}
