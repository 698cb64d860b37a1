// The rules at their bounds: the last value that is stored and the first that is not.
import Telemetry
import Testing

@Suite("Reading rules") struct ReadingRulesTests {
  static let now: Int64 = 1_764_000_000_000_000

  func problem(_ change: (inout Reading) -> Void) -> ReadingRules.Problem? {
    var reading = Reading(timestamp: Self.now, deviceID: TextSlice(offset: 0, byteCount: 1))
    reading[.temperature] = 85
    change(&reading)
    return ReadingRules().check(&reading, now: Self.now)
  }

  @Test("the CHECK ranges of the table, at each bound and just outside", arguments: [
    (Signal.temperature, Float(-50), Float(-50).nextDown), (.temperature, 200, Float(200).nextUp),
    (.vibration, 0, -Float.leastNonzeroMagnitude), (.pressure, 0, -0.001), (.flowRate, 0, -1),
    (.motorCurrent, 0, -1), (.rpm, 0, -1),
  ])
  func ranges(signal: Signal, inside: Float, outside: Float) {
    #expect(problem { $0[signal] = inside } == nil)
    #expect(problem { $0[signal] = outside } == .init(.outOfRange, signal.name))
  }

  @Test("pressures below the surface may be negative") func negativePressure() {
    #expect(problem { $0[.intakePressure] = -3; $0[.dischargePressure] = -3 } == nil)
  }

  @Test("time: 300 s ahead and 30 days back are the last that are taken") func time() {
    #expect(problem { $0.timestamp += 300_000_000 } == nil)
    #expect(problem { $0.timestamp += 300_000_001 } == .init(.timestampInFuture, "timestamp"))
    #expect(problem { $0.timestamp -= 30 * 86_400_000_000 } == nil)
    #expect(problem { $0.timestamp -= 30 * 86_400_000_000 + 1 } == .init(.timestampTooOld, "timestamp"))
  }

  @Test("values that are no numbers", arguments: [Float.nan, .infinity, -.infinity]) func nonFinite(value: Float) {
    #expect(problem { $0[.rpm] = value } == .init(.nonFiniteValue, "rpm"))
  }

  @Test("a sentinel is a missing value", arguments: [-999.25, -9999, 65535, 32767, 94906.898 as Float])
  func sentinel(value: Float) {
    var reading = Reading(timestamp: Self.now, deviceID: TextSlice(offset: 0, byteCount: 1))
    reading[.temperature] = 85
    reading[.pressure] = value
    #expect(ReadingRules().check(&reading, now: Self.now) == nil)
    #expect(reading[.pressure] == nil)
    #expect(reading[.temperature] == 85)
  }

  @Test("nothing measured, or sentinels only, is no reading") func noSignals() {
    #expect(problem { $0.signals = [] } == .init(.noSignals, ""))
    #expect(problem { $0[.temperature] = -9999 } == .init(.noSignals, ""))
  }

  @Test("minus zero is stored as zero") func minusZero() {
    var reading = Reading(timestamp: Self.now, deviceID: TextSlice(offset: 0, byteCount: 1))
    reading[.pressure] = -0.0
    #expect(ReadingRules().check(&reading, now: Self.now) == nil)
    #expect(reading[.pressure]?.sign == .plus)
  }

  @Test("ids", arguments: [
    ("ESP-001", true), ("a:b.c_d-9", true), (String(repeating: "x", count: 128), true), ("", false), ("a b", false),
    (String(repeating: "x", count: 129), false), ("é", false), ("a/b", false), ("a;b", false), ("a\u{0}", false),
  ])
  func ids(text: String, isValid: Bool) {
    let bytes = Array(text.utf8)
    let answer = ReadingRules.isValidID(bytes.span)
    #expect(answer == isValid)
  }
}
