// The schema that a client of the database may rely on, and the ways up and down.
import PostgresStore
import Telemetry
import Testing

extension DatabaseTests {
  @Suite("Migrations") struct MigrationTests {
    @Test("table telemetry has the seed's fourteen columns, exactly, and the listed additions after them")
    func columns() throws {
      let rows = try TestDatabase().connect().query("""
        SELECT column_name::text, data_type::text, is_nullable::text, COALESCE(column_default, '')::text
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'telemetry'
        ORDER BY ordinal_position
        """)
      let columns = (0..<rows.count).map { row in (0..<4).map { rows.text(row, $0) }.joined(separator: "|") }
      let time = "timestamp with time zone"
      #expect(columns == [
        "timestamp|\(time)|NO|", "device_id|text|NO|", "temperature|real|YES|", "vibration|real|YES|",
        "pressure|real|YES|", "flow_rate|real|YES|", "motor_current|real|YES|", "rpm|real|YES|",
        "intake_pressure|real|YES|", "discharge_pressure|real|YES|", "data_quality_score|real|YES|1.0",
        "is_anomaly|boolean|YES|false", "ingestion_timestamp|\(time)|YES|now()", "source_system|text|YES|'scada'::text",
        "frequency|real|YES|", "motor_voltage|real|YES|", "intake_temperature|real|YES|", "current_unbalance|real|YES|",
        "leakage_current|real|YES|", "quality|bigint|YES|",
      ])
    }

    @Test("each CHECK takes its bound and refuses what is just outside", arguments: [
      ("temperature", "-50", true), ("temperature", "-50.001", false), ("temperature", "200", true),
      ("temperature", "200.001", false), ("vibration", "0", true), ("vibration", "-0.001", false),
      ("pressure", "0", true), ("pressure", "-0.001", false), ("flow_rate", "0", true), ("flow_rate", "-0.001", false),
      ("motor_current", "0", true), ("motor_current", "-0.001", false), ("rpm", "0", true), ("rpm", "-0.001", false),
    ])
    func checks(column: String, value: String, isTaken: Bool) throws {
      let database = try TestDatabase()
      // Makes today's partition.
      try database.writer().commit(WriteTransaction([], moves: [CursorMove(producerID: "p", from: 0, to: 1)]))
      let insert = "INSERT INTO telemetry (timestamp, device_id, \(column)) VALUES (NOW(), 'ESP001', \(value))"
      if isTaken {
        try database.connect().execute(insert)
      } else {
        let error = #expect(throws: PostgresError.self) { try database.connect().execute(insert) }
        #expect(error?.sqlState == "23514")
        #expect(error?.constraint == "telemetry_\(column)_range")
        #expect(error?.kind == .data)
      }
    }

    @Test("the two named indexes are there, the second with its predicate") func indexes() throws {
      let rows = try TestDatabase().connect().query(
        "SELECT indexname::text, indexdef FROM pg_indexes WHERE tablename = 'telemetry'")
      let indexes = Dictionary(uniqueKeysWithValues: (0..<rows.count).map { (rows.text($0, 0), rows.text($0, 1)) })
      #expect(indexes["ix_telemetry_device_time"]?.hasSuffix("USING btree (device_id, \"timestamp\" DESC)") == true)
      #expect(indexes["ix_telemetry_anomaly"]?.hasSuffix("WHERE (is_anomaly = true)") == true)
    }

    @Test("up, status, down and up again; the second time there is nothing to do") func upAndDown() throws {
      let database = try TestDatabase(migrated: false)
      let migrator = database.migrator()
      let all = ["001_create_hypertables", "002_dead_letter_service", "003_live_resume"]
      #expect(try migrator.status().map(\.appliedAt) == [nil, nil, nil])
      #expect(try migrator.up() == all)
      #expect(try migrator.up() == [])
      #expect(try migrator.status().allSatisfy { $0.appliedAt != nil })
      for name in all.reversed() { #expect(try migrator.down() == name) }
      #expect(try migrator.down() == nil)
      #expect(try migrator.up() == all)
    }

    @Test("dead letters of 001 are brought along; down to 001 refuses when it would lose what 002 added")
    func deadLetters() throws {
      let database = try TestDatabase(migrated: false)
      let migrator = Migrator(database.location, migrations: Array(Migration.all.prefix(2)), logger: TestServer.logger)
      try Migrator(database.location, migrations: [Migration.all[0]], logger: TestServer.logger).up()
      let connection = try database.connect()
      try connection.execute("""
        INSERT INTO dead_letters (received_at, reason, field, device_id, producer_id, sequence, original)
        VALUES ('2026-01-01', 'NO_SIGNALS', '', 'D', 'p', 1, '')
        """)
      try migrator.up()
      #expect(try connection.value("SELECT last_attempt_at = '2026-01-01' AND principal = '' FROM dead_letters") == "t")
      #expect(try migrator.down() == "002_dead_letter_service")
      try migrator.up()
      try connection.execute("UPDATE dead_letters SET last_attempt_at = NOW()")
      let error = #expect(throws: MigrationError.self) { try migrator.down() }
      #expect(error?.description.contains("when they were tried again") == true)
    }

    @Test("down refuses while there are readings, and says so") func downKeepsData() throws {
      let database = try TestDatabase()
      try database.writer().commit(WriteTransaction([ReadingBatch(count: 1)]))
      // What the later ones added is not in use.
      for migration in Migration.all.dropFirst().reversed() {
        #expect(try database.migrator().down() == migration.name)
      }
      let error = #expect(throws: MigrationError.self) { try database.migrator().down() }
      #expect(error?.description.contains("table telemetry holds rows") == true)
      #expect(try database.count() == 1)
    }

    @Test("a file that was changed after it was applied is refused") func changed() throws {
      let database = try TestDatabase(migrated: false)
      let first = Migration(version: 1, name: "001_a", up: "CREATE TABLE a ()", down: "DROP TABLE a")
      let other = Migration(version: 1, name: "001_a", up: "CREATE TABLE b ()", down: "DROP TABLE b")
      try Migrator(database.location, migrations: [first], logger: TestServer.logger).up()
      #expect(throws: MigrationError.changed(name: "001_a")) {
        try Migrator(database.location, migrations: [other], logger: TestServer.logger).up()
      }
    }

    @Test("a database that a newer program has migrated is refused") func newer() throws {
      let database = try TestDatabase()
      try database.connect().execute(
        "INSERT INTO schema_migrations (version, name, checksum) VALUES (900, '900_future', '')")
      #expect(throws: MigrationError.unknown(version: 900, name: "900_future")) { try database.migrator().up() }
    }

    @Test("a migration that fails halfway leaves nothing behind") func atomic() throws {
      let database = try TestDatabase(migrated: false)
      let broken = Migration(version: 1, name: "001_broken", up: "CREATE TABLE a (); SELECT 1/0", down: "")
      #expect(throws: MigrationError.self) {
        try Migrator(database.location, migrations: [broken], logger: TestServer.logger).up()
      }
      #expect(try database.connect().query("SELECT FROM pg_tables WHERE tablename = 'a'").count == 0)
    }

    @Test("of many that migrate at once, one does it") func concurrent() async throws {
      let database = try TestDatabase(migrated: false)
      let applied = try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<4 { group.addTask { try database.migrator().up().count } }
        return try await group.reduce(0, +)
      }
      #expect(applied == Migration.all.count)
    }
  }
}
