// Some readings for a subscriber, and how to resume after each.
package import PostgresStore
internal import Telemetry

/// What a subscriber gets next: a gap, or none, and then readings.
package struct LivePiece: Sendable {
  /// Readings that were left out before those of this piece.
  package internal(set) var gap: UInt64 = 0
  package internal(set) var readings = StoredReadings()
  var gapToken = ResumeToken(epoch: 0, position: 0, ingestedAt: 0)
  var tokens: [ResumeToken] = []

  init() {}

  var isEmpty: Bool { gap == 0 && readings.count == 0 }

  /// With it a later subscription goes on after reading `index`.
  package func resumeToken(after index: Int) -> String { tokens[index].text }

  /// With it a later subscription is given what the gap left out, as far as it is stored.
  package var gapResumeToken: String { gapToken.text }

  mutating func append(_ entry: LiveState.Entry, of device: String, _ token: ResumeToken) {
    var reading = entry.reading
    reading.deviceID = readings.batch.add(text: device.utf8)
    reading.sourceSystem = readings.batch.add(text: entry.sourceSystem.utf8)
    readings.batch.readings.append(reading)
    readings.scores.append(entry.score)
    readings.anomalies.append(entry.isAnomaly)
    readings.ingestedAt.append(entry.ingestedAt)
    tokens.append(token)
  }

  /// A reading of another piece.
  mutating func append(_ stored: StoredReadings, _ index: Int, _ token: ResumeToken) {
    var reading = stored.batch.readings[index]
    reading.deviceID = readings.batch.add(text: stored.batch.text[reading.deviceID.range])
    reading.sourceSystem = readings.batch.add(text: stored.batch.text[reading.sourceSystem.range])
    readings.batch.readings.append(reading)
    readings.scores.append(stored.scores[index])
    readings.anomalies.append(stored.anomalies[index])
    readings.ingestedAt.append(stored.ingestedAt[index])
    tokens.append(token)
  }
}
