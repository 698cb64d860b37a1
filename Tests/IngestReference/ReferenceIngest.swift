// What a batch should become, worked out slowly from generated messages, to hold `IngestDecoder` to.
package import Contracts
import Protobuf
package import Telemetry

/// A stored reading that can be compared: texts as strings, values as bits.
package struct StoredSample: Equatable {
  var timestamp: Int64
  var deviceID: String
  var sourceSystem: String
  var values: [Signal: UInt32]
  var quality: UInt32?

  package init(_ reading: Reading, in batch: ReadingBatch) {
    timestamp = reading.timestamp
    deviceID = batch.string(reading.deviceID)
    sourceSystem = batch.string(reading.sourceSystem)
    values = [:]
    for signal in Signal.allCases { values[signal] = reading[signal]?.bitPattern }
    quality = reading.quality
  }
}

package struct ReferenceIngest {
  private let rules: ReadingRules
  private let now: Int64
  package private(set) var stored: [StoredSample] = []
  package private(set) var result = BatchResult()
  /// The readings of the dead letters, as bytes.
  package private(set) var deadLetters: [[UInt8]] = []
  private var index: UInt32 = 0

  package init(_ readings: [ESPV1.Reading], _ blocks: [ESPV1.ReadingBlock], sequence: UInt64, rules: ReadingRules,
               now: Int64) {
    self.rules = rules
    self.now = now
    result.sequence = sequence
    for reading in readings { add(reading) }
    for block in blocks { add(block) }
    result.stored = UInt32(stored.count)
  }

  private mutating func add(_ message: ESPV1.Reading, hasInvalidTime: Bool = false) {
    if let field = Self.badText(message.deviceID, message.sourceSystem) { return reject(field, 1) }
    var problem: ReadingRules.Problem?
    var sample: StoredSample?
    if let timestamp = message.timestamp, !hasInvalidTime {
      let isYear = (-62_135_596_800...253_402_300_799).contains(timestamp.seconds)
      if isYear, (0..<1_000_000_000).contains(timestamp.nanos) {
        var batch = ReadingBatch()
        var reading = Self.reading(message, at: timestamp, in: &batch)
        problem = rules.check(&reading, now: now)
        sample = StoredSample(reading, in: batch)
      } else {
        problem = .init(.invalidTimestamp, "timestamp")
      }
    } else {
      problem = .init(hasInvalidTime ? .invalidTimestamp : .missingTimestamp, "timestamp")
    }
    if let problem {
      result.add(Verdict(firstIndex: index, outcome: .quarantined, reason: problem.reason, field: problem.field))
      deadLetters.append(message.serialized())
    } else {
      stored.append(sample!)
    }
    index += 1
  }

  private static func reading(
    _ message: ESPV1.Reading, at timestamp: GoogleProtobuf.Timestamp, in batch: inout ReadingBatch
  ) -> Reading {
    let time = timestamp.seconds * 1_000_000 + Int64(timestamp.nanos) / 1_000
    var reading = Reading(timestamp: time, deviceID: batch.add(text: message.deviceID.utf8))
    let source = message.sourceSystem == "scada" ? "" : message.sourceSystem
    reading.sourceSystem = batch.add(text: source.utf8)
    reading.quality = message.quality
    for signal in Signal.allCases { reading[signal] = message[signal] }
    return reading
  }

  private mutating func add(_ block: ESPV1.ReadingBlock) {
    let columns = Signal.allCases.map { block[$0] }
    let count = max(block.timeDeltaUs.count, columns.map(\.count).max() ?? 0)
    if count == 0 { return }
    if let field = Self.badText(block.deviceID, block.sourceSystem) { return reject(field, count) }
    if block.timeDeltaUs.isEmpty { return reject("time_delta_us", count) }
    for signal in Signal.allCases where !block[signal].isEmpty && block[signal].count != block.timeDeltaUs.count {
      return reject(signal.name, count)
    }
    var time = Int128(block.startTimeUnixUs)
    for position in 0..<count {
      time += Int128(block.timeDeltaUs[position])
      var sample = ESPV1.Reading()
      sample.deviceID = block.deviceID
      sample.sourceSystem = block.sourceSystem == "scada" ? "" : block.sourceSystem
      let seconds = time.quotientRoundedDown(by: 1_000_000)
      let fits = time <= Int128(Int64.max)
      if fits {
        sample.timestamp = .with {
          $0.seconds = Int64(seconds)
          $0.nanos = Int32((time - seconds * 1_000_000) * 1_000)
        }
      }
      for signal in Signal.allCases where !columns[signal.rawValue].isEmpty {
        let value = columns[signal.rawValue][position]
        sample[signal] = value.isNaN ? nil : value
      }
      add(sample, hasInvalidTime: !fits)
    }
  }

  private mutating func reject(_ field: String, _ count: Int) {
    let reasons: [String: Verdict.Reason] = ["device_id": .invalidDeviceID, "source_system": .invalidSourceSystem]
    result.add(Verdict(firstIndex: index, count: UInt32(count), outcome: .rejected,
                       reason: reasons[field] ?? .invalidBlock, field: field))
    index += UInt32(count)
  }

  private static func badText(_ deviceID: String, _ sourceSystem: String) -> String? {
    if deviceID.wholeMatch(of: /[A-Za-z0-9._:\-]{1,128}/) == nil { return "device_id" }
    return sourceSystem.utf8.count > 128 || sourceSystem.unicodeScalars.contains("\u{0}") ? "source_system" : nil
  }
}

extension Int128 {
  fileprivate func quotientRoundedDown(by divisor: Int128) -> Int128 {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? quotient - 1 : quotient
  }
}

extension ESPV1.Reading {
  static let signals: [any WritableKeyPath<ESPV1.Reading, Float?> & Sendable] = [
    \.temperature, \.vibration, \.pressure, \.flowRate, \.motorCurrent, \.rpm, \.intakePressure, \.dischargePressure,
    \.frequency, \.motorVoltage, \.intakeTemperature, \.currentUnbalance, \.leakageCurrent,
  ]

  subscript(signal: Signal) -> Float? {
    get { self[keyPath: Self.signals[signal.rawValue]] }
    set { self[keyPath: Self.signals[signal.rawValue]] = newValue }
  }
}

extension ESPV1.ReadingBlock {
  static let signals: [any WritableKeyPath<ESPV1.ReadingBlock, [Float]> & Sendable] = [
    \.temperature, \.vibration, \.pressure, \.flowRate, \.motorCurrent, \.rpm, \.intakePressure, \.dischargePressure,
    \.frequency, \.motorVoltage, \.intakeTemperature, \.currentUnbalance, \.leakageCurrent,
  ]

  subscript(signal: Signal) -> [Float] {
    get { self[keyPath: Self.signals[signal.rawValue]] }
    set { self[keyPath: Self.signals[signal.rawValue]] = newValue }
  }
}
