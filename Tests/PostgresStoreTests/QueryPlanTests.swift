// The indexes are there to be used: the plans of the queries that they were made for.
import PostgresStore
import Telemetry
import Testing

extension DatabaseTests {
  @Suite("Query plans") struct QueryPlanTests {
    func filled() throws -> PostgresConnection {
      let database = try TestDatabase()
      let devices = (0..<100).map { "ESP-\($0 + 100)" }
      let batches = (0..<3).map { 
        ReadingBatch(devices: devices, from: noon + Int64($0) * 86_400 * second, count: 20_000)
      }
      try database.writer().commit(WriteTransaction(batches))
      let connection = try database.connect()
      try connection.execute("UPDATE telemetry SET is_anomaly = TRUE WHERE temperature = 80 AND device_id < 'ESP-110'")
      try connection.execute("ANALYZE telemetry")
      return connection
    }

    func plan(_ sql: String, _ connection: PostgresConnection) throws -> String {
      let rows = try connection.query("EXPLAIN " + sql)
      return (0..<rows.count).map { rows.text($0, 0) }.joined(separator: "\n")
    }

    @Test("the latest readings of a device come from ix_telemetry_device_time, without a sort") func latest() throws {
      let plan = try plan("""
        SELECT * FROM telemetry WHERE device_id = 'ESP-150' ORDER BY timestamp DESC LIMIT 10
        """, try filled())
      #expect(plan.contains("telemetry_p20251125_device_id_timestamp_idx"))
      #expect(!plan.contains("Sort"))
      #expect(!plan.contains("Seq Scan on telemetry_p2025"))
    }

    @Test("anomalies come from ix_telemetry_anomaly in the order of an answer") func anomalies() throws {
      let plan = try plan("""
        SELECT * FROM telemetry WHERE is_anomaly = TRUE ORDER BY timestamp DESC, device_id DESC LIMIT 10
        """, try filled())
      #expect(plan.contains("telemetry_p20251125_timestamp_device_id_idx"))
      #expect(!plan.contains("Sort"))
      #expect(!plan.contains("Seq Scan on telemetry_p2025"))
    }
  }
}
