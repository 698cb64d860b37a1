// Readings for tests: plain, and in quantity.
import Foundation
import PostgresStore
import Telemetry

/// 2025-11-23T12:00:00Z, in microseconds. In the past, so that its partitions are made on demand.
let noon: Int64 = 1_763_899_200_000_000
let second: Int64 = 1_000_000

extension ReadingBatch {
  /// `count` readings, one a second from `start` on, taking turns among the devices.
  init(devices: [String] = ["ESP001"], from start: Int64 = noon, count: Int, step: Int64 = second) {
    self.init()
    let slices = devices.map { add(text: $0.utf8) }
    for index in 0..<count {
      var reading = Reading(timestamp: start + Int64(index / devices.count) * step,
                            deviceID: slices[index % devices.count])
      reading[.temperature] = Float(80 + index % 20)
      reading[.vibration] = 0.05
      reading[.pressure] = 250
      reading[.flowRate] = 1500
      reading[.motorCurrent] = 40
      reading[.rpm] = 3500
      reading[.intakePressure] = 900
      reading[.dischargePressure] = 2800
      readings.append(reading)
    }
  }
}

extension WriteTransaction {
  init(_ batches: [ReadingBatch], moves: [CursorMove] = [], letters: [RefusedReading] = []) {
    self.init()
    self.batches = batches
    cursors = moves
    deadLetters = letters
  }
}
