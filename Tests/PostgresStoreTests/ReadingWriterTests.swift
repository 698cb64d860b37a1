// What the writer stores: every column, cursors and dead letters together, or nothing.
import Foundation
import PostgresStore
import Telemetry
import Testing

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
}
