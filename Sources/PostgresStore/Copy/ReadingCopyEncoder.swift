// Readings to the rows of `COPY telemetry`.
package import Telemetry

/// Encodes batches of readings as rows of table `telemetry`. One per writer; its memory is reused.
package struct ReadingCopyEncoder {
  /// The columns in the order of the fields below.
  package static let statement = "COPY telemetry (timestamp, device_id, source_system, ingestion_timestamp, "
    + "data_quality_score, is_anomaly, quality, " + Signal.allCases.map(\.name).joined(separator: ", ")
    + ") FROM STDIN BINARY"

  private static let fieldCount = 7 + Signal.count
  /// The count of fields; 8 bytes and a length for times and quality, 4 and a length for floats, 1 and a length for the
  /// flag, the lengths of the two texts.
  private static let fixedBytes = 2 + 3 * 12 + 8 + 5 + 2 * 4 + Signal.count * 8
  private static let defaultSource = Array("scada".utf8)

  private var buffer = CopyBuffer()
  private var devices = DeviceGroups()

  package init() {}

  package var rowCount: Int { buffer.rowCount }

  package mutating func reset() { buffer.reset() }

  /// Adds a batch, the rows of each device together: the index takes neighbours at less cost (ANCHORS 7).
  ///
  /// - Parameters:
  ///   - ingestedAt: microseconds since 1970-01-01T00:00:00Z; one value for all rows of a transaction.
  ///   - scores: `data_quality_score` by row; empty = 1.0 for all.
  ///   - anomalies: `is_anomaly` by row; empty = false for all.
  package mutating func append(_ batch: borrowing ReadingBatch, ingestedAt: Int64, scores: [Float] = [],
                               anomalies: [Bool] = []) {
    precondition(scores.isEmpty || scores.count == batch.readings.count, "one score a reading, or none")
    precondition(anomalies.isEmpty || anomalies.count == batch.readings.count, "one anomaly flag a reading, or none")
    let readings = batch.readings.span
    let text = batch.text.span
    let ingested = PostgresTime.fromUnix(ingestedAt)
    let order = devices.order(of: readings, text)
    buffer.withRoom(forRows: readings.count, maximumBytes: Self.maximumBytes(of: readings)) { bytes, offset in
      for position in 0..<readings.count {
        let index = order.isEmpty ? position : Int(order[position])
        let score = scores.isEmpty ? 1 : scores[index]
        let isAnomaly = anomalies.isEmpty ? false : anomalies[index]
        Self.put(readings[index], text, ingested, score, isAnomaly, &bytes, &offset)
      }
    }
  }

  private static func maximumBytes(of readings: Span<Reading>) -> Int {
    var textBytes = 0
    for index in readings.indices {
      textBytes += Int(readings[index].deviceID.byteCount) + Int(readings[index].sourceSystem.byteCount)
    }
    return readings.count * (fixedBytes + defaultSource.count) + textBytes
  }

  @inline(__always) private static func put(
    _ reading: borrowing Reading, _ text: Span<UInt8>, _ ingested: Int64, _ score: Float, _ isAnomaly: Bool,
    _ bytes: inout MutableRawSpan, _ offset: inout Int
  ) {
    bytes.put(fieldCount: fieldCount, &offset)
    bytes.put(PostgresTime.fromUnix(reading.timestamp), &offset)
    bytes.put(text.extracting(reading.deviceID.range), &offset)
    if reading.sourceSystem.byteCount == 0 {
      bytes.put(defaultSource.span, &offset)
    } else {
      bytes.put(text.extracting(reading.sourceSystem.range), &offset)
    }
    bytes.put(ingested, &offset)
    bytes.put(score, &offset)
    bytes.put(isAnomaly, &offset)
    if let quality = reading.quality { bytes.put(Int64(quality), &offset) } else { bytes.putNull(&offset) }
    let present = reading.signals.rawValue
    for signal in 0..<Signal.count {
      if present & (1 << UInt16(signal)) != 0 {
        bytes.put(reading.values[signal], &offset)
      } else {
        bytes.putNull(&offset)
      }
    }
  }

  /// Closes the data and lends it; more rows may be added afterwards.
  package mutating func withFinished<Value, Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Value
  ) throws(Failure) -> Value {
    try buffer.withFinished(body)
  }
}
