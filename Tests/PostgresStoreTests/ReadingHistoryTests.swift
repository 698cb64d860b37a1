// The latest readings and the order of storing, as live subscribers get them.
import PostgresStore
import Telemetry
import Testing

extension DatabaseTests {
  @Suite("Reading history") struct ReadingHistoryTests {
    func history(_ database: TestDatabase) -> ReadingHistory {
      ReadingHistory(database.location, logger: TestServer.logger)
    }

    @Test("the latest of each device, over days, and no more devices than wanted") func latest() async throws {
      let database = try TestDatabase()
      let writer = database.writer()
      try writer.commit(WriteTransaction([ReadingBatch(devices: ["A", "B", "C"], count: 300)]))
      try writer.commit(WriteTransaction([ReadingBatch(devices: ["B"], from: noon + 86_400 * second, count: 5)]))
      try writer.commit(WriteTransaction([ReadingBatch(devices: ["C"], from: noon - 86_400 * second, count: 5)]))
      let stored = try await history(database).latest(limit: 10)
      let lines = stored.batch.readings.map { "\(stored.batch.string($0.deviceID)) \(($0.timestamp - noon) / second)" }
      #expect(lines == ["A 99", "B 86404", "C 99"])
      #expect(try await history(database).latest(limit: 2).count == 2)
    }

    @Test("an empty table has no latest and nothing to replay") func empty() async throws {
      let history = history(try TestDatabase())
      #expect(try await history.latest(limit: 10).count == 0)
      #expect(try await history.replay(from: ReplayPoint(ingestedAt: 0), devices: []) == nil)
      #expect(try await history.newest(of: ["A"], storedBefore: .max) == [:])
    }

    @Test("a replay gives each reading once, in the order of storing, also of transactions larger than a piece",
          arguments: [[], ["B"], ["A", "C"]])
    func replay(devices: [String]) async throws {
      let database = try TestDatabase()
      let writer = database.writer()
      var (stored, times): ([String], [Int64]) = ([], [])
      for (round, count) in [3, 9000, 1, 6000, 30].enumerated() {
        // Later transactions have older readings.
        let batch = ReadingBatch(devices: ["A", "B", "C"], from: noon - Int64(round) * 10_000 * second, count: count)
        times.append(try writer.commit(WriteTransaction([batch])))
        stored += batch.readings.map { "\(round) \(batch.string($0.deviceID)) \($0.timestamp)" }
      }
      #expect(times == times.sorted() && Set(times).count == times.count)
      let history = history(database)
      var (point, replayed) = (ReplayPoint(ingestedAt: times[0] - 3600 * second), [String]())
      while let (piece, next) = try await history.replay(from: point, devices: devices) {
        #expect(piece.count <= ReadingHistory.pieceCount && piece.count > 0)
        replayed += piece.batch.readings.indices.map { index in
          let reading = piece.batch.readings[index]
          let round = times.firstIndex(of: piece.ingestedAt[index]) ?? -1
          return "\(round) \(piece.batch.string(reading.deviceID)) \(reading.timestamp)"
        }
        point = next
      }
      let wanted = stored.filter { line in devices.isEmpty || devices.contains { line.contains(" \($0) ") } }
      #expect(replayed.sorted() == wanted.sorted())
      #expect(replayed.map { $0.prefix(1) } == replayed.map { $0.prefix(1) }.sorted(), "in the order of storing")
      // What is stored afterwards is next, from the same place.
      try writer.commit(WriteTransaction([ReadingBatch(devices: ["A", "B", "C"], from: noon, count: 3)]))
      let later = try await history.replay(from: point, devices: devices)
      #expect(later?.0.count == (devices.isEmpty ? 3 : devices.count))
      #expect(try await history.count(times[0]..<times[3], devices: []) == 9004)
      let newest = try await history.newest(of: ["A", "Z"], storedBefore: times[1])
      #expect(newest == ["A": noon])
    }

    @Test("what was stored since a moment is found by the index of storing times") func plan() throws {
      let database = try TestDatabase()
      try database.writer().commit(WriteTransaction([ReadingBatch(count: 100)]))
      let connection = try database.connect()
      try connection.execute("SET enable_seqscan = off")
      let rows = try connection.query("EXPLAIN SELECT count(*) FROM telemetry WHERE ingestion_timestamp >= NOW()")
      let plan = (0..<rows.count).map { rows.text($0, 0) }.joined(separator: "\n")
      #expect(plan.contains("ingestion_timestamp_idx"), "\(plan)")
    }
  }
}
