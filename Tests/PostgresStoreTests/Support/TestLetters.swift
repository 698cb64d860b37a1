// Dead letters for tests: what becomes of them is in their bytes.
import PostgresStore
import Telemetry

/// What a dead letter of these tests becomes when it is judged.
enum TestLetter {
  case valid(UInt8), invalid, unreadable

  var bytes: [UInt8] {
    switch self {
    case .valid(let temperature): [1, temperature]
    case .invalid: [2, 0]
    case .unreadable: [3, 0]
    }
  }
}

/// Plays the part of the rules: the first byte decides, the second is the temperature.
func judge(_ original: [UInt8], _ now: Int64, _ batch: inout ReadingBatch) -> DeadLetterJudgement {
  switch original[0] {
  case 1:
    var reading = Reading(timestamp: noon, deviceID: batch.add(text: "D".utf8))
    reading[.temperature] = Float(original[1])
    batch.readings.append(reading)
    return .valid
  case 2: return .invalid(ReadingRules.Problem(.outOfRange, "temperature"))
  default: return .unreadable
  }
}

extension TestDatabase {
  func deadLetters() -> DeadLetterStore { DeadLetterStore(location, logger: TestServer.logger) }

  /// Writes dead letters as ingest does.
  func refuse(_ letters: [TestLetter], producer: String = "p", at time: Int64 = noon,
                          padding: Int = 0) throws {
    try writer().commit(WriteTransaction([], letters: letters.map { letter in
      RefusedReading(
        DeadLetter(reason: .noSignals, field: "", deviceID: "D", readingTimestamp: noon,
                   original: letter.bytes + [UInt8](repeating: 7, count: padding)),
        producerID: producer, sequence: 1, receivedAt: time)
    }))
  }

  /// Of a table whose connections are being cut.
  func countPatiently(in table: String) throws -> Int {
    while true {
      do {
        return try count(in: table)
      } catch let error as PostgresError where error.kind == .connectionLost {
        continue
      }
    }
  }
}
