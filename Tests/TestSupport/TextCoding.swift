// A message format for tests of the pipeline alone: device ids with commas.
package import Journal
package import Pipeline
package import Telemetry

/// Each name is a reading of that device.
package struct TextCoding: JournalCoding {
  package init() {}

  package static func batch(_ devices: [String]) -> ReadingBatch {
    var batch = ReadingBatch()
    for device in devices {
      var reading = Reading(timestamp: 1, deviceID: batch.add(text: device.utf8))
      reading[.temperature] = 20
      batch.readings.append(reading)
    }
    return batch
  }

  package func decode(_ record: JournalRecord) -> DecodedRecord {
    let devices = String(decoding: record.payload, as: UTF8.self).split(separator: ",").map(String.init)
    return DecodedRecord(batch: Self.batch(devices), deadLetters: [], rejected: 0)
  }

  package func original(of reading: Reading, in batch: ReadingBatch) -> [UInt8] {
    Array(batch.string(reading.deviceID).utf8)
  }
}
