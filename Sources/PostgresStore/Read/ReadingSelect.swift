// The SELECT of a query and the decoding of its rows.
import Telemetry

/// One statement over one slice of time, and its rows.
struct ReadingSelect {
  private static let columns = [
    "timestamp", "device_id", "source_system", "quality", "data_quality_score", "is_anomaly", "ingestion_timestamp",
  ] + Signal.allCases.map(\.name)

  /// All that is decoded, of a table or what a FROM calls it.
  static func columns(of table: String) -> String { columns.map { "\(table).\($0)" }.joined(separator: ", ") }

  /// The columns after the key put readings with the same key into an order that stays: what arrives later comes after,
  /// and readings that are equal in all columns are interchangeable.
  static let tieBreak = "ingestion_timestamp, source_system, quality, data_quality_score, is_anomaly, "
    + Signal.allCases.map(\.name).joined(separator: ", ")

  private let sql: String
  private let parameters: [PostgresValue]

  init(_ query: ReadingQuery, _ slice: Range<Int64>, after key: ReadingKey?, limit: Int) {
    var parameters: [PostgresValue] = [.timestamp(slice.lowerBound), .timestamp(slice.upperBound)]
    var conditions = "timestamp >= $1 AND timestamp < $2"
    func add(_ value: PostgresValue) -> String {
      parameters.append(value)
      return "$\(parameters.count)"
    }
    if query.deviceIDs.count == 1 {
      conditions += " AND device_id = \(add(.text(query.deviceIDs[0])))"
    } else if !query.deviceIDs.isEmpty {
      conditions += " AND device_id = ANY(\(add(.texts(query.deviceIDs))))"
    }
    if query.anomaliesOnly { conditions += " AND is_anomaly = TRUE" }
    if let minQuality = query.minQuality { conditions += " AND data_quality_score >= \(add(.float(minQuality)))" }
    let (comparison, direction) = query.order == .ascending ? (">=", "ASC") : ("<=", "DESC")
    if let key {
      let (timestamp, deviceID) = (add(.timestamp(key.timestamp)), add(.text(key.deviceID)))
      conditions += " AND (timestamp, device_id) \(comparison) (\(timestamp), \(deviceID))"
    }
    sql = """
      SELECT \(Self.columns(of: "telemetry")) FROM telemetry WHERE \(conditions)
      ORDER BY timestamp \(direction), device_id \(direction), \(Self.tieBreak) LIMIT \(limit) OFFSET \(key?.skip ?? 0)
      """
    self.parameters = parameters
  }

  /// Appends the rows; returns how many they are.
  func run(_ connection: PostgresConnection, into readings: inout StoredReadings) throws(PostgresError) -> Int {
    let rows = try connection.query(sql, parameters)
    for row in 0..<rows.count { Self.decode(rows, row, into: &readings) }
    return rows.count
  }

  /// The rows of another statement that selects `columns(of:)`.
  static func rows(_ connection: PostgresConnection, _ sql: String,
                   _ parameters: [PostgresValue]) throws(PostgresError) -> StoredReadings {
    let rows = try connection.query(sql, parameters)
    var readings = StoredReadings()
    for row in 0..<rows.count { decode(rows, row, into: &readings) }
    return readings
  }

  private static func decode(_ rows: PostgresRows, _ row: Int, into readings: inout StoredReadings) {
    let previous = readings.batch.readings.last
    var reading = Reading(timestamp: rows.timestamp(row, 0),
                          deviceID: text(rows, row, 1, same: previous?.deviceID, &readings.batch))
    if !rows.isNull(row, 2) {
      reading.sourceSystem = text(rows, row, 2, same: previous?.sourceSystem, &readings.batch)
    }
    if !rows.isNull(row, 3) { reading.quality = UInt32(clamping: rows.int64(row, 3)) }
    for signal in Signal.allCases where !rows.isNull(row, 7 + signal.rawValue) {
      reading[signal] = rows.float(row, 7 + signal.rawValue)
    }
    readings.batch.readings.append(reading)
    // NULL only where somebody else wrote the row.
    readings.scores.append(rows.isNull(row, 4) ? 1 : rows.float(row, 4))
    readings.anomalies.append(rows.isNull(row, 5) ? false : rows.bool(row, 5))
    readings.ingestedAt.append(rows.isNull(row, 6) ? reading.timestamp : rows.timestamp(row, 6))
  }

  /// A text that is the same as in the row before is not stored again.
  private static func text(_ rows: PostgresRows, _ row: Int, _ column: Int, same previous: TextSlice?,
                           _ batch: inout ReadingBatch) -> TextSlice {
    if let previous, rows.equals(row, column, batch.text.span.extracting(previous.range)) { return previous }
    let offset = batch.text.count
    rows.append(row, column, to: &batch.text)
    return TextSlice(offset: UInt32(offset), byteCount: UInt32(batch.text.count - offset))
  }
}
