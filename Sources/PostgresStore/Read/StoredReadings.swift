// Readings as they come back from the table.
package import Telemetry

/// Stored readings with what the server added to them; all arrays have the same length.
package struct StoredReadings: Sendable {
  package var batch = ReadingBatch()
  /// `data_quality_score`.
  package var scores: [Float] = []
  package var anomalies: [Bool] = []
  /// `ingestion_timestamp`, microseconds since 1970-01-01T00:00:00Z.
  package var ingestedAt: [Int64] = []

  package init() {}

  package var count: Int { batch.readings.count }

  mutating func removeLast() {
    batch.readings.removeLast()
    scores.removeLast()
    anomalies.removeLast()
    ingestedAt.removeLast()
  }

  /// The key of the last reading, counting those before it that have the same; `start` is where these readings began.
  func lastKey(after start: ReadingKey?) -> ReadingKey? {
    guard let last = batch.readings.last else { return start }
    let deviceID = batch.string(last.deviceID)
    var skip = 0
    for reading in batch.readings.reversed() {
      guard reading.timestamp == last.timestamp, batch.string(reading.deviceID) == deviceID else { break }
      skip += 1
    }
    if skip == count, let start, start.timestamp == last.timestamp, start.deviceID == deviceID { skip += start.skip }
    return ReadingKey(timestamp: last.timestamp, deviceID: deviceID, skip: skip)
  }
}

/// One page and how to get the next.
package struct StoredPage: Sendable {
  package var readings: StoredReadings
  /// Empty = this is the last page.
  package var nextPageToken: String

  package init(readings: StoredReadings, nextPageToken: String) {
    self.readings = readings
    self.nextPageToken = nextPageToken
  }
}
