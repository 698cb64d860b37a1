// A few readers that many calls share, first come, first served.
import Logging
import Status
import Synchronization

/// Lends lanes. Lanes are made when first needed.
final class ReaderPool: Sendable {
  /// Calls that may wait for a lane; the next one is refused.
  static let maximumWaiting = 256

  private struct State {
    var idle: [ReaderLane] = []
    var made = 0
    var waiting: [(ticket: Int, continuation: CheckedContinuation<ReaderLane?, Never>)] = []
    var nextTicket = 0
  }

  private let size: Int
  private let location: PostgresLocation
  private let logger: Logger
  private let state = Mutex(State())

  init(_ location: PostgresLocation, size: Int, logger: Logger) {
    self.location = location
    self.size = size
    self.logger = logger
  }

  /// Waits for a lane. Throws CANCELLED or DEADLINE_EXCEEDED when the wait ends so, RESOURCE_EXHAUSTED when too many
  /// wait.
  func withLane<Value>(
    deadline: ContinuousClock.Instant, _ body: (ReaderLane) async throws(RPCStatus) -> Value
  ) async throws(RPCStatus) -> Value {
    let lane = try await take(deadline)
    do throws(RPCStatus) {
      let value = try await body(lane)
      giveBack(lane)
      return value
    } catch {
      giveBack(lane)
      throw error
    }
  }

  private enum Taken {
    case lane(ReaderLane), ticket(Int), tooMany
  }

  private func take(_ deadline: ContinuousClock.Instant) async throws(RPCStatus) -> ReaderLane {
    let taken = state.withLock { state -> Taken in
      if let lane = state.idle.popLast() { return .lane(lane) }
      if state.made < size {
        state.made += 1
        return .lane(ReaderLane(location, logger: logger))
      }
      guard state.waiting.count < Self.maximumWaiting else { return .tooMany }
      state.nextTicket += 1
      return .ticket(state.nextTicket)
    }
    switch taken {
    case .lane(let lane): return lane
    case .tooMany:
      throw .overloaded(subject: "database readers", "\(Self.maximumWaiting) queries wait already.",
                        retryAfter: .seconds(1))
    case .ticket(let ticket):
      let timer = Task {
        // Cancelled = a lane came in time.
        guard (try? await Task.sleep(until: deadline)) != nil else { return }
        giveUp(ticket)
      }
      defer { timer.cancel() }
      if let lane = await wait(ticket) { return lane }
      throw PostgresError(Task.isCancelled ? .stopped : .timedOut, "waiting for a reader").rpcStatus
    }
  }

  private func wait(_ ticket: Int) async -> ReaderLane? {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let lane = state.withLock { state -> ReaderLane?? in
          // Both may have happened since the ticket was drawn.
          if Task.isCancelled { return .some(nil) }
          if let lane = state.idle.popLast() { return lane }
          state.waiting.append((ticket, continuation))
          return nil
        }
        if let lane { continuation.resume(returning: lane) }
      }
    } onCancel: {
      giveUp(ticket)
    }
  }

  /// Ends the wait of a ticket, if it still waits.
  private func giveUp(_ ticket: Int) {
    let continuation = state.withLock { state -> CheckedContinuation<ReaderLane?, Never>? in
      guard let index = state.waiting.firstIndex(where: { $0.ticket == ticket }) else { return nil }
      return state.waiting.remove(at: index).continuation
    }
    continuation?.resume(returning: nil)
  }

  private func giveBack(_ lane: ReaderLane) {
    let continuation = state.withLock { state -> CheckedContinuation<ReaderLane?, Never>? in
      if state.waiting.isEmpty {
        state.idle.append(lane)
        return nil
      }
      return state.waiting.removeFirst().continuation
    }
    continuation?.resume(returning: lane)
  }
}
