// Writes a decoded reading as an esp.v1.Reading, for its dead letter.
package import Telemetry

package enum ReadingWriting {
  /// The bytes of an `esp.v1.Reading`, fields in the order of their numbers.
  package static func serialize(_ reading: Reading, hasTimestamp: Bool = true, in batch: ReadingBatch) -> [UInt8] {
    var output: [UInt8] = []
    output.append(field: 1, bytes: batch.text[reading.deviceID.range])
    if hasTimestamp { append(timestamp: reading.timestamp, to: &output) }
    for signal in 0...7 where reading.has(signal) {
      output.append(field: UInt32(signal + 3), fixed32: reading.values[signal].bitPattern)
    }
    output.append(field: 11, bytes: batch.text[reading.sourceSystem.range])
    if let quality = reading.quality { output.append(field: 12, varint: UInt64(quality)) }
    for signal in 8...12 where reading.has(signal) {
      output.append(field: UInt32(signal + 5), fixed32: reading.values[signal].bitPattern)
    }
    return output
  }

  private static func append(timestamp microseconds: Int64, to output: inout [UInt8]) {
    let seconds = (microseconds >= 0 ? microseconds : microseconds + 1) / 1_000_000 - (microseconds >= 0 ? 0 : 1)
    // Never overflows: seconds is rounded down, so the rest is 0..<1,000,000.
    let nanos = (microseconds &- seconds &* 1_000_000) * 1_000
    var message: [UInt8] = []
    message.append(field: 1, varint: UInt64(bitPattern: seconds))
    message.append(field: 2, varint: UInt64(nanos))
    output.append(WireTag(2, .bytes))
    output.append(varint: UInt64(message.count))
    output += message
  }
}

extension Reading {
  fileprivate func has(_ signal: Int) -> Bool { signals.rawValue & (1 << UInt16(truncatingIfNeeded: signal)) != 0 }
}
