// What time it is for a reading.
internal import Foundation

/// The clock against which readings are judged.
enum WallClock {
  /// Microseconds since 1970-01-01T00:00:00Z.
  static var now: Int64 { Int64(Date().timeIntervalSince1970 * 1_000_000) }
}
