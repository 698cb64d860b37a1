// What is counted while the journal is measured.
import Foundation
import Journal
import Synchronization

/// Seconds of the wall and of the process's CPU since it was made.
struct Stopwatch {
  private let started = ContinuousClock.now
  private let cpuAtStart = Self.cpuSeconds

  var elapsed: Double { (ContinuousClock.now - started) / .seconds(1) }
  var cpu: Double { Self.cpuSeconds - cpuAtStart }

  /// User and system, all threads.
  private static var cpuSeconds: Double { Double(clock()) / Double(CLOCKS_PER_SEC) }
}

/// Latencies in steps of 10 us, and the release of what is durable, so that segments are used again as in service.
final class Meter: Sendable {
  private static let step = Duration.microseconds(10)

  private struct Counts {
    var latencies = [Int](repeating: 0, count: 1 << 16)
    var acks = 0
    var refusals = 0
  }

  private let counts = Mutex(Counts())
  private let journal: Journal

  init(_ journal: Journal) { self.journal = journal }

  func acked(_ result: Result<JournalPosition, JournalError>, after latency: Duration) {
    guard case .success(let position) = result else { return refused() }
    let isTurn = counts.withLock { counts in
      counts.latencies[min(counts.latencies.count - 1, Int(latency / Self.step))] += 1
      counts.acks += 1
      return counts.acks % 1000 == 0
    }
    if isTurn { journal.release(before: position) }
  }

  func refused() { counts.withLock { $0.refusals += 1 } }

  var refusals: Int { counts.withLock { $0.refusals } }

  /// In microseconds, rounded up to the step.
  var percentiles: (p50: Int, p99: Int) {
    counts.withLock { counts in
      func percentile(_ share: Double) -> Int {
        var left = Double(counts.acks) * share
        for (index, count) in counts.latencies.enumerated() {
          left -= Double(count)
          if left <= 0 { return (index + 1) * 10 }
        }
        return counts.latencies.count * 10
      }
      return (percentile(0.5), percentile(0.99))
    }
  }
}
