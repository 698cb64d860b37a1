// How many samples an esp.v1.ReadingBlock holds, without decoding them.
import Telemetry

/// The texts, the start and the column lengths of a block. A column may come packed, unpacked, or in several pieces.
struct BlockShape {
  private(set) var deviceID = 0..<0
  private(set) var sourceSystem = 0..<0
  /// Microseconds since 1970.
  private(set) var startTime: Int64 = 0
  private(set) var timeCount = 0
  /// By `Signal.rawValue`.
  private(set) var columnCounts = InlineArray<13, Int>(repeating: 0)

  init(_ block: Range<Int>, in bytes: Span<UInt8>) throws(WireError) {
    var cursor = WireCursor(block)
    while !cursor.isAtEnd {
      let tag = try cursor.tag(in: bytes)
      if let signal = Self.signal(tag.number) {
        switch tag.type {
        case .bytes:
          let column = try cursor.payload(in: bytes)
          guard column.count % 4 == 0 else { throw WireError(.oddLength, at: column.lowerBound) }
          columnCounts[signal] += column.count / 4
        case .fixed32:
          _ = try cursor.fixed32(in: bytes)
          columnCounts[signal] += 1
        default: try cursor.skip(tag, in: bytes)
        }
        continue
      }
      switch tag {
      case WireTag(1, .bytes): deviceID = try cursor.payload(in: bytes)
      case WireTag(2, .varint): startTime = Int64(bitPattern: try cursor.varint(in: bytes))
      case WireTag(3, .bytes): timeCount += try Self.countVarints(cursor.payload(in: bytes), in: bytes)
      case WireTag(3, .varint):
        _ = try cursor.varint(in: bytes)
        timeCount += 1
      case WireTag(12, .bytes): sourceSystem = try cursor.payload(in: bytes)
      default: try cursor.skip(tag, in: bytes)
      }
    }
  }

  /// What the block counts as: its times, or its longest column when that is longer, so that received = stored +
  /// rejected holds for a malformed one too. A block with neither holds nothing and counts as nothing.
  var sampleCount: Int {
    var count = timeCount
    for signal in columnCounts.indices { count = max(count, columnCounts[signal]) }
    return count
  }

  /// The column that does not have one value a sample; nil when the block is well formed.
  var fieldAtFault: String? {
    if timeCount == 0, sampleCount > 0 { return "time_delta_us" }
    return Signal.allCases.first { ![0, timeCount].contains(columnCounts[$0.rawValue]) }?.name
  }

  /// Fields 4-11 and 13-17 are the signals, in the order of `Signal`.
  @inline(__always) static func signal(_ number: UInt32) -> Int? {
    switch number {
    case 4...11: Int(number) - 4
    case 13...17: Int(number) - 5
    default: nil
    }
  }

  private static func countVarints(_ column: Range<Int>, in bytes: Span<UInt8>) throws(WireError) -> Int {
    var cursor = WireCursor(column)
    var count = 0
    while !cursor.isAtEnd {
      _ = try cursor.varint(in: bytes)
      count += 1
    }
    return count
  }
}
