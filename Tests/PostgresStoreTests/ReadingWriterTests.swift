// What the writer stores: every column, cursors and dead letters together, or nothing.
import Foundation
import PostgresStore
import Telemetry
import Testing

extension DatabaseTests {
  @Suite("Reading writer") struct ReadingWriterTests {
    @Test("every column comes back as it was sent, absent ones as NULL") func roundTrip() throws {
      let database = try TestDatabase()
      var batch = ReadingBatch()
      let device = batch.add(text: "ESP-001:a.b_c".utf8)
      var full = Reading(timestamp: noon + 1, deviceID: device)
      full.sourceSystem = batch.add(text: "opc-ua".utf8)
      full.quality = .max
      for signal in Signal.allCases { full[signal] = Float(signal.rawValue) + 0.5 }
      let bare = Reading(timestamp: noon + 2, deviceID: device)
      batch.readings = [full, bare]
      try database.writer().commit(WriteTransaction([batch]))

      let names = Signal.allCases.map(\.name).joined(separator: ", ")
      let rows = try database.connect().query("""
        SELECT timestamp, device_id, source_system, quality, data_quality_score, is_anomaly,
          ingestion_timestamp > NOW() - INTERVAL '1 minute', \(names) FROM telemetry ORDER BY timestamp
        """)
      #expect(rows.count == 2)
      #expect(rows.timestamp(0, 0) == noon + 1)
      #expect(rows.text(0, 1) == "ESP-001:a.b_c")
      #expect(rows.text(0, 2) == "opc-ua")
      #expect(rows.int64(0, 3) == 4_294_967_295)
      #expect(rows.float(0, 4) == 1)
      #expect(rows.bool(0, 5) == false)
      #expect(rows.bool(0, 6))
      for signal in Signal.allCases {
        #expect(rows.float(0, 7 + signal.rawValue) == Float(signal.rawValue) + 0.5)
        #expect(rows.isNull(1, 7 + signal.rawValue))
      }
      #expect(rows.text(1, 2) == "scada")
      #expect(rows.isNull(1, 3))
    }

    @Test("floats keep every bit, to the ends of their range", arguments: [
      Float.leastNonzeroMagnitude, .greatestFiniteMagnitude, .pi, 1e-38, 16_777_215,
    ])
    func extremeFloats(value: Float) throws {
      let database = try TestDatabase()
      var batch = ReadingBatch(count: 1)
      batch.readings[0][.pressure] = value
      batch.readings[0][.intakePressure] = -value
      try database.writer().commit(WriteTransaction([batch]))
      let rows = try database.connect().query("SELECT pressure, intake_pressure FROM telemetry")
      #expect(rows.float(0, 0).bitPattern == value.bitPattern)
      #expect(rows.float(0, 1).bitPattern == (-value).bitPattern)
    }

    @Test("scores and anomaly flags stay with their rows when the rows are grouped by device") func scores() throws {
      let database = try TestDatabase()
      let writer = database.writer()
      try writer.commit(WriteTransaction([ReadingBatch(from: noon - second, count: 1)]))
      let batch = ReadingBatch(devices: ["B", "A", "C"], count: 300)
      var encoder = ReadingCopyEncoder()
      encoder.append(batch, ingestedAt: noon, scores: (0..<300).map { Float($0) / 300 },
                     anomalies: (0..<300).map { $0 % 7 == 0 })
      let connection = try database.connect()
      let count = try encoder.withFinished { bytes in try connection.copy(ReadingCopyEncoder.statement, bytes) }
      #expect(count == 300)
      let rows = try connection.query("""
        SELECT timestamp, device_id, data_quality_score, is_anomaly, temperature FROM telemetry WHERE timestamp >= $1
        """, [.timestamp(noon)])
      for row in 0..<rows.count {
        let device = try #require(["B", "A", "C"].firstIndex(of: rows.text(row, 1)))
        let index = Int((rows.timestamp(row, 0) - noon) / second) * 3 + device
        #expect(rows.float(row, 2) == Float(index) / 300)
        #expect(rows.bool(row, 3) == (index % 7 == 0))
        #expect(rows.float(row, 4) == Float(80 + index % 20))
      }
    }

    @Test("dead letters are stored with where they came from") func deadLetters() throws {
      let database = try TestDatabase()
      let letter = DeadLetter(reason: .outOfRange, field: "temperature", deviceID: "ESP001", readingTimestamp: noon,
                              original: [0, 1, 255])
      let unreadable = DeadLetter(reason: .invalidDeviceID, field: "device_id", deviceID: "a\0b",
                                  readingTimestamp: .max, original: [])
      try database.writer().commit(WriteTransaction([], letters: [
        RefusedReading(letter, producerID: "p", sequence: 7, receivedAt: noon + 5),
        RefusedReading(unreadable, producerID: "p", sequence: .max, receivedAt: noon + 5),
      ]))
      let rows = try database.connect().query("""
        SELECT reason, field, device_id, reading_timestamp, producer_id, sequence, original, attempts, received_at
        FROM dead_letters ORDER BY id
        """)
      #expect(rows.count == 2)
      #expect((0..<3).map { rows.text(0, $0) } == ["OUT_OF_RANGE", "temperature", "ESP001"])
      #expect(rows.timestamp(0, 3) == noon)
      #expect(rows.text(0, 4) == "p")
      #expect(rows.int64(0, 5) == 7)
      #expect(rows.bytes(0, 6) == [0, 1, 255])
      #expect(rows.int32(0, 7) == 1)
      #expect(rows.timestamp(0, 8) == noon + 5)
      #expect(rows.text(1, 2) == "a?b")
      #expect(rows.isNull(1, 3))
      #expect(rows.int64(1, 5) == .max)
    }

    @Test("cursors move with the data, and not when another server moved them first") func cursors() throws {
      let database = try TestDatabase()
      let writer = database.writer()
      let batch = ReadingBatch(count: 10)
      try writer.commit(WriteTransaction([batch], moves: [
        CursorMove(producerID: "a", from: 0, to: 3), CursorMove(producerID: "b", from: 0, to: 1),
      ]))
      #expect(try writer.cursors(for: ["a", "b", "c"]) == ["a": 3, "b": 1])

      let other = database.writer()
      try other.commit(WriteTransaction([batch], moves: [CursorMove(producerID: "a", from: 3, to: 4)]))
      #expect(throws: WriteFailure.cursorConflict(producerIDs: ["a"])) {
        try writer.commit(WriteTransaction([batch], moves: [
          CursorMove(producerID: "a", from: 3, to: 4), CursorMove(producerID: "b", from: 1, to: 2),
        ]))
      }
      #expect(throws: WriteFailure.cursorConflict(producerIDs: ["b"])) {
        try writer.commit(WriteTransaction([batch], moves: [CursorMove(producerID: "b", from: 0, to: 1)]))
      }
      #expect(try writer.cursors(for: ["a", "b"]) == ["a": 4, "b": 1])
      #expect(try database.count() == 20)
    }

    @Test("of two servers with the same batch one stores it") func race() async throws {
      let database = try TestDatabase()
      let outcomes = await withTaskGroup(of: Bool.self) { group in
        for _ in 0..<4 {
          group.addTask {
            let move = CursorMove(producerID: "p", from: 0, to: 1)
            do throws(WriteFailure) {
              try database.writer().commit(WriteTransaction([ReadingBatch(count: 500)], moves: [move]))
              return true
            } catch {
              return error != .cursorConflict(producerIDs: ["p"])
            }
          }
        }
        return await group.reduce(into: []) { $0.append($1) }
      }
      #expect(outcomes.count { $0 } == 1)
      #expect(try database.count() == 500)
    }

    @Test("a sequence beyond Int64 is refused, not wrapped") func sequenceRange() throws {
      let move = CursorMove(producerID: "p", from: 0, to: CursorMove.maximumSequence + 1)
      let error = #expect(throws: WriteFailure.self) {
        try TestDatabase().writer().commit(WriteTransaction([], moves: [move]))
      }
      guard case .data(let problem) = error else { return #expect(Bool(false), "\(String(describing: error))") }
      #expect(problem.sqlState == "22003")
    }

    @Test("a value that the table refuses fails the transaction as a whole, and the next one is stored")
    func dataError() throws {
      let database = try TestDatabase()
      let writer = database.writer()
      var bad = ReadingBatch(count: 100)
      bad.readings[50][.temperature] = 1000
      let move = CursorMove(producerID: "p", from: 0, to: 1)
      let error = #expect(throws: WriteFailure.self) { try writer.commit(WriteTransaction([bad], moves: [move])) }
      guard case .data(let problem) = error else { return #expect(Bool(false), "\(String(describing: error))") }
      #expect(problem.constraint == "telemetry_temperature_range")
      #expect(try database.count() == 0)
      #expect(try writer.cursors(for: ["p"]) == [:])
      try writer.commit(WriteTransaction([ReadingBatch(count: 100)], moves: [move]))
      #expect(try database.count() == 100)
    }

    @Test("stop ends a commit that waits for a database that is not there") func stop() throws {
      let location = PostgresLocation(socketDirectory: "/tmp/espd-nowhere", database: "d", user: "u")
      let writer = ReadingWriter(location, logger: TestServer.logger)
      let signal = writer.stopSignal
      DetachedThread.start("test-stop") {
        usleep(200_000)
        signal.signal()
      }
      #expect(throws: WriteFailure.stopped) { try writer.commit(WriteTransaction([ReadingBatch(count: 1)])) }
      #expect(throws: WriteFailure.stopped) { try writer.cursors(for: ["p"]) }
    }

    @Test("stop ends a commit that waits for a lock") func stopWhileBlocked() throws {
      let database = try TestDatabase()
      let blocker = try database.connect()
      try blocker.execute("BEGIN; LOCK TABLE producer_cursor IN ACCESS EXCLUSIVE MODE")
      let writer = database.writer()
      let signal = writer.stopSignal
      writer.probe = { stage in
        guard stage == .begun else { return }
        DetachedThread.start("test-stop") {
          usleep(200_000)
          signal.signal()
        }
      }
      #expect(throws: WriteFailure.stopped) {
        try writer.commit(WriteTransaction([], moves: [CursorMove(producerID: "p", from: 0, to: 1)]))
      }
      try blocker.execute("ROLLBACK")
    }
  }
}
