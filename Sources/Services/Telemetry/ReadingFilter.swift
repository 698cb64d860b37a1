// What QueryReadings and ExportReadings have in common: the filter, the fields, and a stored reading as a message.
internal import Contracts
internal import PostgresStore
internal import Status
internal import Telemetry

/// Which signals and texts of a reading to return; device and time always are.
struct ReadingFields {
  private var signals = SignalSet(rawValue: .max)
  private var hasSourceSystem = true
  private var hasQuality = true

  /// - Throws: INVALID_ARGUMENT that names a path which is no field of `Reading`.
  init(_ mask: GoogleProtobuf.FieldMask?) throws(RPCStatus) {
    guard let paths = mask?.paths, !paths.isEmpty else { return }
    (signals, hasSourceSystem, hasQuality) = ([], false, false)
    for path in paths {
      switch path {
      case "device_id", "timestamp": break
      case "source_system": hasSourceSystem = true
      case "quality": hasQuality = true
      default:
        guard let signal = Signal.allCases.first(where: { $0.name == path }) else {
          throw .invalidField("fields", "\(path) is no field of esp.v1.Reading")
        }
        signals.insert(SignalSet(signal))
      }
    }
  }

  func message(_ stored: StoredReadings, _ index: Int) -> ESPV1.StoredReading {
    let row = stored.batch.readings[index]
    var reading = ESPV1.Reading()
    reading.deviceID = stored.batch.string(row.deviceID)
    reading.timestamp = GoogleProtobuf.Timestamp(microseconds: row.timestamp)
    for signal in Signal.allCases where signals.contains(signal) {
      if let value = row[signal] { reading.set(signal, value) }
    }
    if hasSourceSystem { reading.sourceSystem = stored.batch.string(row.sourceSystem) }
    if hasQuality { reading.quality = row.quality }
    var message = ESPV1.StoredReading()
    message.reading = reading
    message.dataQualityScore = stored.scores[index]
    message.isAnomaly = stored.anomalies[index]
    message.ingestionTimestamp = GoogleProtobuf.Timestamp(microseconds: stored.ingestedAt[index])
    return message
  }
}

extension ESPV1.Reading {
  /// Sets a signal by its enumeration. A switch, not key paths: this is most of the cost of an export.
  mutating func set(_ signal: Signal, _ value: Float) {
    switch signal {
    case .temperature: temperature = value
    case .vibration: vibration = value
    case .pressure: pressure = value
    case .flowRate: flowRate = value
    case .motorCurrent: motorCurrent = value
    case .rpm: rpm = value
    case .intakePressure: intakePressure = value
    case .dischargePressure: dischargePressure = value
    case .frequency: frequency = value
    case .motorVoltage: motorVoltage = value
    case .intakeTemperature: intakeTemperature = value
    case .currentUnbalance: currentUnbalance = value
    case .leakageCurrent: leakageCurrent = value
    }
  }
}

extension ReadingQuery {
  /// The filters that QueryReadings and ExportReadings share.
  /// - Throws: INVALID_ARGUMENT that names the field at fault; ranges of numbers are checked by the reader.
  init(deviceID: [String], start: GoogleProtobuf.Timestamp?, end: GoogleProtobuf.Timestamp?, anomaliesOnly: Bool,
       minQuality: Float?) throws(RPCStatus) {
    self.init()
    for id in deviceID where !ReadingRules.isValidID(id.utf8.span) {
      throw .invalidField("device_id", "\"\(id)\" is no device id: 1 to 128 bytes of [A-Za-z0-9._:-]")
    }
    deviceIDs = deviceID
    startTime = try Self.microseconds(start, "start_time")
    endTime = try Self.microseconds(end, "end_time")
    self.anomaliesOnly = anomaliesOnly
    self.minQuality = minQuality
  }

  static func microseconds(_ time: GoogleProtobuf.Timestamp?, _ field: String) throws(RPCStatus) -> Int64? {
    guard let time else { return nil }
    guard let microseconds = time.microseconds else {
      throw .invalidField(field, "is no time from year 1 to 9999 with nanos of 0 to 999,999,999")
    }
    return microseconds
  }
}
