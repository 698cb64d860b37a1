// What is known at once of values and ids, beside the rules that look at each.
import Telemetry
import Testing

@Suite("Common values") struct CommonValuesTests {
  /// Bounds of ranges, sentinels and what lies beside them, zeros, negative numbers and none.
  static let values: [Float] = [
    0, -0, .leastNonzeroMagnitude, 85, 199.99998, 200, 200.00002, 32_766.998, 32_767, 32_768, 65_535, 94_906.898, 1e9,
    .infinity, -.infinity, .nan, -1, -50, -999.25, -9_999, -.leastNonzeroMagnitude,
  ]

  @Test("a look that says common says what the rules say, for each signal", arguments: Signal.allCases)
  func look(signal: Signal) {
    for value in Self.values {
      var look = ReadingRules.ValueLook()
      look.note(value.bitPattern, of: signal.rawValue)
      var slow = Reading(timestamp: 0, deviceID: TextSlice(offset: 0, byteCount: 0))
      slow[signal] = value
      var quick = slow
      let problem = ReadingRules().check(&slow, now: 0)
      #expect(ReadingRules().check(&quick, now: 0, look: look) == problem, "\(value)")
      #expect(quick.signals == slow.signals && quick[signal]?.bitPattern == slow[signal]?.bitPattern, "\(value)")
    }
  }

  @Test("nearly all values are common, and one that is not makes all be looked at") func oneOfMany() {
    var look = ReadingRules.ValueLook()
    for (value, signal) in [(Float(85), Signal.temperature), (0.05, .vibration), (1_500, .rpm)] {
      look.note(value.bitPattern, of: signal.rawValue)
    }
    #expect(look.areAllCommon)
    look.note(Float.nan.bitPattern, of: Signal.pressure.rawValue)
    look.note(Float(1).bitPattern, of: Signal.pressure.rawValue)
    #expect(!look.areAllCommon)
  }

  @Test("a reading without a signal, a time out of range: the look changes nothing") func noSignals() {
    var reading = Reading(timestamp: 0, deviceID: TextSlice(offset: 0, byteCount: 0))
    #expect(ReadingRules().check(&reading, now: 0, look: ReadingRules.ValueLook())?.reason == .noSignals)
    reading[.temperature] = 85
    reading.timestamp = 1 << 60
    #expect(ReadingRules().check(&reading, now: 0, look: ReadingRules.ValueLook())?.reason == .timestampInFuture)
  }

  @Test("of the 256 bytes an id may have those of [A-Za-z0-9._:-]") func idBytes() {
    let legal = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-".utf8)
    for byte in UInt8.min...UInt8.max {
      for id in [[byte], [0x41, byte], [byte, 0x41], [0x41, byte, 0x7a]] {
        let isValid = ReadingRules.isValidID(id.span)
        #expect(isValid == legal.contains(byte), "\(byte)")
      }
    }
  }
}
