// Readings to the rows of `COPY telemetry`.
package import Telemetry

/// Encodes batches of readings as rows of table `telemetry`. One per writer; its memory is reused.
package struct ReadingCopyEncoder {
  /// The columns in the order of the fields below.
  package static let statement = "COPY telemetry (timestamp, device_id, source_system, ingestion_timestamp, "
    + "data_quality_score, is_anomaly, quality, " + Signal.allCases.map(\.name).joined(separator: ", ")
    + ") FROM STDIN BINARY"

  private static let fieldCount = 7 + Signal.count
  /// All fields but the two texts: 8 bytes and a length for times and quality, 4 and a length for the others.
  private static let fixedBytes = 3 * 12 + 8 + 5 + 2 * 4 + Signal.count * 8
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
    for position in 0..<readings.count {
      let index = order.isEmpty ? position : Int(order[position])
      appendRow(readings[index], text, ingested, score: scores.isEmpty ? 1 : scores[index],
                isAnomaly: anomalies.isEmpty ? false : anomalies[index])
    }
  }

  @inline(__always) private mutating func appendRow(_ reading: borrowing Reading, _ text: borrowing Span<UInt8>,
                                                    _ ingested: Int64, score: Float, isAnomaly: Bool) {
    let device = text.extracting(reading.deviceID.range)
    let source = text.extracting(reading.sourceSystem.range)
    buffer.beginRow(fieldCount: Self.fieldCount,
                    maximumBytes: Self.fixedBytes + device.count + max(source.count, Self.defaultSource.count))
    buffer.append(PostgresTime.fromUnix(reading.timestamp))
    buffer.append(device)
    if source.isEmpty { buffer.append(Self.defaultSource) } else { buffer.append(source) }
    buffer.append(ingested)
    buffer.append(score)
    buffer.append(isAnomaly)
    if let quality = reading.quality { buffer.append(Int64(quality)) } else { buffer.appendNull() }
    let present = reading.signals.rawValue
    for signal in 0..<Signal.count {
      if present & (1 << UInt16(signal)) != 0 { buffer.append(reading.values[signal]) } else { buffer.appendNull() }
    }
  }

  /// Closes the data and lends it; more rows may be added afterwards.
  package mutating func withFinished<Value, Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Value
  ) throws(Failure) -> Value {
    try buffer.withFinished(body)
  }
}
