// The thirteen signals of a reading, with their names and accepted ranges.

/// One measured quantity of a pump. The raw value is its place in `Reading.values` and its bit in `SignalSet`.
public enum Signal: Int, CaseIterable, Sendable {
  case temperature, vibration, pressure, flowRate, motorCurrent, rpm, intakePressure, dischargePressure
  case frequency, motorVoltage, intakeTemperature, currentUnbalance, leakageCurrent

  public static let count = 13

  /// The field's name in `proto/esp/v1/telemetry.proto` and the column's name in table `telemetry`.
  public var name: String {
    switch self {
    case .temperature: "temperature"
    case .vibration: "vibration"
    case .pressure: "pressure"
    case .flowRate: "flow_rate"
    case .motorCurrent: "motor_current"
    case .rpm: "rpm"
    case .intakePressure: "intake_pressure"
    case .dischargePressure: "discharge_pressure"
    case .frequency: "frequency"
    case .motorVoltage: "motor_voltage"
    case .intakeTemperature: "intake_temperature"
    case .currentUnbalance: "current_unbalance"
    case .leakageCurrent: "leakage_current"
    }
  }

  /// The range that the table's CHECK constraints accept (REQUIREMENTS W2-08); the others take any finite value.
  public var acceptedRange: ClosedRange<Float> {
    switch self {
    case .temperature: -50...200
    case .vibration, .pressure, .flowRate, .motorCurrent, .rpm: 0...Float.greatestFiniteMagnitude
    default: -Float.greatestFiniteMagnitude...Float.greatestFiniteMagnitude
    }
  }
}

/// Which signals a reading carries: a missing signal is absent, never 0.
public struct SignalSet: OptionSet, Sendable, Hashable {
  public let rawValue: UInt16

  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
  @inlinable public init(_ signal: Signal) { self.rawValue = 1 << UInt16(signal.rawValue) }

  @inlinable public func contains(_ signal: Signal) -> Bool { rawValue & (1 << UInt16(signal.rawValue)) != 0 }
}
