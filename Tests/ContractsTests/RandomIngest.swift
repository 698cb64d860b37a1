// Random ingest messages: mostly good readings, and every way we know in which one can be bad.
import Contracts
import Protobuf

struct RandomIngest {
  /// Microseconds since 1970; readings lie around it.
  static let now: Int64 = 1_764_000_000_000_000

  var random: SplitMix64

  private static let deviceIDs = [
    "ESP-001", "ESP-001", "ESP-002", "a:b.c_d-9", String(repeating: "x", count: 128),
    "", "a b", "é", "a\u{0}", String(repeating: "x", count: 129), "scada",
  ]
  private static let sourceSystems = [
    "", "", "scada", "historian", "пи", "a\u{0}b", String(repeating: "s", count: 128),
    String(repeating: "s", count: 129),
  ]
  private static let badValues: [Float] = [
    -999.25, -9999, 65535, 32767, 94906.898, .nan, .infinity, -.infinity, -1, 200.1, -50.1, -0.0, 0,
    .leastNonzeroMagnitude,
  ]

  mutating func request() -> ESPV1.IngestRequest {
    .with {
      $0.producerID = random.pick(["", "gateway-7", "gateway-7", "a b", String(repeating: "p", count: 128)])
      $0.sequence = random.pick([0, 1, 77, .max])
      $0.ackLevel = ESPV1.AckLevel(rawValue: random.pick([0, 1, 2, 3, 4, -1]))
      $0.readings = (0..<Int.random(in: 0...6, using: &random)).map { _ in reading() }
      $0.blocks = (0..<Int.random(in: 0...2, using: &random)).map { _ in block() }
    }
  }

  mutating func streamRequest() -> ESPV1.IngestStreamRequest {
    .with {
      let request = request()
      switch Int.random(in: 0..<10, using: &random) {
      case 0: break
      case 1, 2:
        $0.message = .open(.with { open in
          open.producerID = request.producerID
          open.ackLevel = request.ackLevel
          open.historical = Bool.random(using: &random)
        })
      default:
        $0.message = .batch(.with { batch in
          batch.sequence = request.sequence
          batch.readings = request.readings
          batch.blocks = request.blocks
        })
      }
    }
  }

  mutating func reading() -> ESPV1.Reading {
    .with {
      $0.deviceID = deviceID()
      $0.sourceSystem = sourceSystem()
      $0.timestamp = timestamp()
      if random.once(in: 3) { $0.quality = random.pick([0, 0x8000_0000, .max]) }
      $0.temperature = value()
      $0.vibration = value()
      $0.pressure = value()
      $0.flowRate = value()
      $0.motorCurrent = value()
      $0.rpm = value()
      $0.intakePressure = value()
      $0.dischargePressure = value()
      $0.frequency = value()
      $0.motorVoltage = value()
      $0.intakeTemperature = value()
      $0.currentUnbalance = value()
      $0.leakageCurrent = value()
    }
  }

  mutating func block() -> ESPV1.ReadingBlock {
    .with {
      let count = random.pick([0, 1, 3, 5])
      $0.deviceID = deviceID()
      $0.sourceSystem = sourceSystem()
      $0.startTimeUnixUs = random.once(in: 10)
        ? random.pick([.max, .max - 1_000_000, .min, 0, 253_402_300_799_999_999, -62_135_596_800_000_000]) : Self.now
      $0.timeDeltaUs = (0..<count).map { $0 == 0 ? 0 : random.pick([1_000_000, 0, .max]) }
      $0.temperature = column(count)
      $0.vibration = column(count)
      $0.pressure = column(count)
      $0.flowRate = column(count)
      $0.motorCurrent = column(count)
      $0.rpm = column(count)
      $0.intakePressure = column(count)
      $0.dischargePressure = column(count)
      $0.frequency = column(count)
      $0.motorVoltage = column(count)
      $0.intakeTemperature = column(count)
      $0.currentUnbalance = column(count)
      $0.leakageCurrent = column(count)
    }
  }

  private mutating func deviceID() -> String { random.once(in: 6) ? random.pick(Self.deviceIDs) : "ESP-001" }

  private mutating func sourceSystem() -> String { random.once(in: 4) ? random.pick(Self.sourceSystems) : "" }

  private mutating func timestamp() -> GoogleProtobuf.Timestamp? {
    if random.once(in: 20) { return nil }
    return .with {
      $0.seconds = Self.now / 1_000_000 - Int64.random(in: 0...1000, using: &random)
      $0.nanos = random.pick([0, 1, 999, 1_000, 999_999_999])
      guard random.once(in: 8) else { return }
      $0.seconds = random.pick([
        0, .max, .min, 253_402_300_799, 253_402_300_800, -62_135_596_800, -62_135_596_801,
        Self.now / 1_000_000 + 300, Self.now / 1_000_000 + 301, Self.now / 1_000_000 - 30 * 86_400,
      ])
      $0.nanos = random.pick([0, -1, 1_000_000_000, .min, .max])
    }
  }

  private mutating func value() -> Float? {
    if random.once(in: 3) { return nil }
    return random.once(in: 60) ? random.pick(Self.badValues) : Float.random(in: 0...190, using: &random)
  }

  private mutating func column(_ count: Int) -> [Float] {
    if random.once(in: 2) { return [] }
    let length = random.once(in: 60) ? random.pick([1, 2, 4]) : count
    return (0..<length).map { _ in random.once(in: 5) ? .nan : value() ?? 1 }
  }
}
