// A feed over a table in memory, and commits into both.
import Foundation
import Live
import Logging
import PostgresStore
import Synchronization
import Telemetry
import TestSupport

/// One run of a server, as far as a feed sees it.
final class LiveFixture: Sendable {
  typealias Sample = (device: String, timestamp: Int64, value: Float)

  let history: MemoryHistory
  let feed: LiveFeed
  private let state: Mutex<(ingestedAt: Int64, newest: [String: Int64])>

  /// - Parameters:
  ///   - after: an earlier run on the same table: storing times go on.
  ///   - began: how long ago the first transaction was stored.
  init(history: MemoryHistory = MemoryHistory(), after earlier: LiveFixture? = nil, ring: Int = 1000, piece: Int = 256,
       devices: Int = 100, subscribers: Int = 100, began: Duration = .seconds(60)) {
    self.history = history
    var limits = LiveLimits()
    limits.ringCount = ring
    limits.pieceCount = piece
    limits.maximumDevices = devices
    limits.maximumSubscribers = subscribers
    feed = LiveFeed(history: history, limits: limits, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let now = Int64(Date().timeIntervalSince1970 * 1_000_000) - began.microseconds
    state = Mutex((earlier?.state.withLock { $0.ingestedAt } ?? now, [:]))
  }

  /// Stores a transaction; what is returned publishes it.
  func store(_ samples: [Sample], except: [Int] = [], isHistorical: Bool = false,
             anomalies: [Bool] = []) -> @Sendable () -> Void {
    let ingestedAt = state.withLock { state in
      state.ingestedAt += 1000
      for sample in samples { state.newest[sample.device] = max(state.newest[sample.device] ?? 0, sample.timestamp) }
      return state.ingestedAt
    }
    var batch = ReadingBatch()
    for sample in samples {
      var reading = Reading(timestamp: sample.timestamp, deviceID: batch.add(text: sample.device.utf8))
      reading[.temperature] = sample.value
      batch.readings.append(reading)
    }
    history.store(samples.enumerated().filter { !except.contains($0.offset) }.map { _, sample in
      .init(sample.device, sample.timestamp, sample.value, ingestedAt: ingestedAt)
    })
    return { [feed, batch] in
      feed.publish(batch, except: except, isHistorical: isHistorical, ingestedAt: ingestedAt, anomalies: anomalies)
    }
  }

  func commit(_ samples: [Sample], except: [Int] = [], isHistorical: Bool = false, anomalies: [Bool] = []) {
    store(samples, except: except, isHistorical: isHistorical, anomalies: anomalies)()
  }

  /// Time of the newest reading that was committed.
  func newest(of device: String) -> Int64? { state.withLock { $0.newest[device] } }
}

extension LiveSubscription {
  /// The next `count` readings, as "device time temperature"; a gap among them is one too: "gap 3".
  func values(_ count: Int) async throws -> [String] {
    var values: [String] = []
    while values.count < count {
      let piece = try await next()
      if piece.gap > 0 { values.append("gap \(piece.gap)") }
      values += piece.readings.batch.readings.map { reading in
        "\(piece.readings.batch.string(reading.deviceID)) \(reading.timestamp) \(Int(reading[.temperature] ?? -1))"
      }
    }
    return values
  }
}
