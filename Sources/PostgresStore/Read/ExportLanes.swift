// The lanes of exports: each export has one to itself, and their connections are used again.
import Logging
import Synchronization

/// Lends lanes to exports, at most so many at once. An export may be dropped in the middle: its lane ends what it is
/// doing before it starts on the next one's.
final class ExportLanes: Sendable {
  private struct State {
    var idle: [ReaderLane] = []
    var lent = 0
  }

  private let location: PostgresLocation
  private let maximum: Int
  private let logger: Logger
  private let state = Mutex(State())

  init(_ location: PostgresLocation, maximum: Int, logger: Logger) {
    self.location = location
    self.maximum = maximum
    self.logger = logger
  }

  /// An export that was just cut takes a moment to end; a new one waits so long for its place.
  private static let patience: Duration = .seconds(2)

  /// nil: all are lent and stay so.
  func take() async -> Loan? {
    let giveUp = ContinuousClock.now + Self.patience
    while true {
      if let loan = takeIdle() { return loan }
      // A cancelled sleep ends the wait: nobody wants the export any more.
      guard .now < giveUp, (try? await Task.sleep(for: .milliseconds(20))) != nil else { return nil }
    }
  }

  private func takeIdle() -> Loan? {
    state.withLock { state in
      guard state.lent < maximum else { return nil }
      state.lent += 1
      return Loan(state.idle.popLast() ?? ReaderLane(location, logger: logger), from: self)
    }
  }

  /// A lane that is given back when the loan is dropped.
  final class Loan: Sendable {
    let lane: ReaderLane
    private let lanes: ExportLanes

    fileprivate init(_ lane: ReaderLane, from lanes: ExportLanes) {
      self.lane = lane
      self.lanes = lanes
    }

    deinit {
      lanes.state.withLock { state in
        state.lent -= 1
        state.idle.append(lane)
      }
    }
  }
}
