// How long acknowledgements took, by the level that they state.
internal import Histogram
internal import Synchronization
package import Telemetry

/// One histogram a level: from the receipt of a batch until its answer is handed to the connection.
package final class AckLatencies: Sendable {
  package struct Summary: Sendable {
    package var level: AckLevel
    package var count: UInt64
    /// Microseconds.
    package var p50: UInt64
    package var p99: UInt64
    package var p999: UInt64
    package var maximum: UInt64
  }

  /// A minute; what takes longer counts as a minute. Two digits are kept: some 20 KB a level.
  private static let longest: UInt64 = 60_000_000

  private let histograms: Mutex<[Histogram<UInt64>]>

  package init() {
    let one = Histogram<UInt64>(highestTrackableValue: Self.longest, numberOfSignificantValueDigits: .two)
    histograms = Mutex(Array(repeating: one, count: AckLevel.allCases.count))
  }

  func record(_ level: AckLevel, since began: ContinuousClock.Instant, count: Int = 1) {
    guard count > 0 else { return }
    let microseconds = UInt64(max(0, (ContinuousClock.now - began).microseconds))
    histograms.withLock { histograms in
      _ = histograms[Int(level.rawValue)].record(min(microseconds, Self.longest), count: UInt64(count))
    }
  }

  /// Since the start; a level that nobody asked for has a count of 0.
  package var summaries: [Summary] {
    histograms.withLock { histograms in
      [AckLevel.accepted, .durable, .committed].map { level in
        let histogram = histograms[Int(level.rawValue)]
        return Summary(level: level, count: histogram.totalCount, p50: histogram.valueAtPercentile(50),
                       p99: histogram.valueAtPercentile(99), p999: histogram.valueAtPercentile(99.9),
                       maximum: histogram.totalCount == 0 ? 0 : histogram.maxRecorded)
      }
    }
  }
}
