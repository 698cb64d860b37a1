// What is committed reaches those who watch: the latest reading of each device, then each reading as it comes.
package import Logging
internal import PostgresStore
package import Status
internal import Synchronization
package import Telemetry

/// The feed of one server. Any thread: the pipeline publishes, subscribers pull.
///
/// Nothing is kept until somebody subscribes; from then on each committed reading goes into a ring that all subscribers
/// read at their own pace, so that a slow one costs no memory and holds up nobody.
package final class LiveFeed: Sendable {
  struct Shared {
    var live: LiveState
    /// Readings are taken in, before `isReady` too.
    var isTracking = false
    /// The latest readings have been loaded.
    var isReady = false
    var isShutDown = false
    var hasSaidFull = false
    var loading: Task<RPCStatus?, Never>?
    var subscribers = 0
    var nextWaiter = 0
    /// Subscribers that have seen all.
    var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
  }

  let limits: LiveLimits
  /// Tells tokens of this run from those of another.
  let epoch = UInt64.random(in: 1 ... .max)
  let history: any LiveHistory
  private let logger: Logger
  private let shared: Mutex<Shared>

  package init(history: any LiveHistory, limits: LiveLimits = LiveLimits(), logger: Logger) {
    self.history = history
    self.limits = limits
    self.logger = logger
    shared = Mutex(Shared(live: LiveState(limits: limits)))
  }

  /// Takes a committed batch, in the order of commits. Backfill never reaches subscribers.
  /// - Parameters:
  ///   - except: places of readings that were not stored after all.
  ///   - ingestedAt: as stored, microseconds since 1970; rises from transaction to transaction.
  ///   - scores: `data_quality_score` as stored; empty = 1 for all.
  ///   - anomalies: `is_anomaly` as stored; empty = false for all.
  package func publish(_ batch: ReadingBatch, except: [Int] = [], isHistorical: Bool, ingestedAt: Int64,
                       scores: [Float] = [], anomalies: [Bool] = []) {
    if isHistorical { return }
    let (waiters, isNewlyFull) = shared.withLock { shared in
      guard shared.isTracking else { return ([CheckedContinuation<Void, Never>](), false) }
      shared.live.publish(batch, except: except, ingestedAt: ingestedAt, scores: scores, anomalies: anomalies)
      let isNewlyFull = shared.live.isFull && !shared.hasSaidFull
      shared.hasSaidFull = shared.live.isFull
      return (Self.takeWaiters(&shared), isNewlyFull)
    }
    for waiter in waiters { waiter.resume() }
    if isNewlyFull {
      logger.error("too many devices: the readings of further ones are stored, and not sent to subscribers",
                   metadata: ["devices": "\(limits.maximumDevices)"])
    }
  }

  /// Subscribes. Throws INVALID_ARGUMENT for a bad token, RESOURCE_EXHAUSTED, and what the database says.
  package func subscribe(_ filter: LiveFilter, resumeToken: String = "") async throws(RPCStatus) -> LiveSubscription {
    let token = resumeToken.isEmpty ? nil : try ResumeToken(resumeToken)
    let isAdmitted = shared.withLock { shared in
      guard shared.subscribers < limits.maximumSubscribers else { return false }
      shared.subscribers += 1
      return true
    }
    guard isAdmitted else {
      throw .overloaded(subject: "subscribers", "\(limits.maximumSubscribers) subscribers are there already.",
                        retryAfter: .seconds(5))
    }
    do throws(RPCStatus) {
      try await prepare()
    } catch {
      leave()
      throw error
    }
    return LiveSubscription(self, filter, token)
  }

  /// Ends all subscriptions, now and later, with UNAVAILABLE: they would hold up a drain.
  package func shutDown() {
    let waiters = shared.withLock { shared in
      shared.isShutDown = true
      return Self.takeWaiters(&shared)
    }
    for waiter in waiters { waiter.resume() }
  }

  // MARK: For subscriptions

  static let goingAway = RPCStatus.unavailable("the server is going away: subscribe again with the last resume_token",
                                               retryAfter: .seconds(1))

  func leave() { shared.withLock { $0.subscribers -= 1 } }

  func withState<Value: Sendable>(_ body: (LiveState) -> Value) throws(RPCStatus) -> Value {
    let value: Value? = shared.withLock { $0.isShutDown ? nil : body($0.live) }
    guard let value else { throw Self.goingAway }
    return value
  }

  /// Returns once something has been published from `position` on, or the task is cancelled, or at the shutdown.
  func wait(from position: UInt64) async {
    let id = shared.withLock { shared in
      shared.nextWaiter += 1
      return shared.nextWaiter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let mayWait = shared.withLock { shared in
          // All may have happened since we looked.
          guard shared.live.end <= position, !shared.isShutDown, !Task.isCancelled else { return false }
          shared.waiters[id] = continuation
          return true
        }
        if !mayWait { continuation.resume() }
      }
    } onCancel: {
      shared.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
    }
  }

  private static func takeWaiters(_ shared: inout Shared) -> [CheckedContinuation<Void, Never>] {
    defer { shared.waiters.removeAll(keepingCapacity: true) }
    return Array(shared.waiters.values)
  }

  /// Loads the latest readings, once. Tracking begins before: what is committed meanwhile is either seen by the load or
  /// published.
  private func prepare() async throws(RPCStatus) {
    let loading: Task<RPCStatus?, Never>? = shared.withLock { shared in
      if shared.isReady { return nil }
      if let loading = shared.loading { return loading }
      shared.isTracking = true
      let loading = Task { await self.load() }
      shared.loading = loading
      return loading
    }
    if let failure = await loading?.value { throw failure }
  }

  private func load() async -> RPCStatus? {
    do throws(RPCStatus) {
      let stored = try await history.latest(limit: limits.maximumDevices)
      shared.withLock { shared in
        shared.live.load(stored)
        shared.isReady = true
        shared.loading = nil
      }
      return nil
    } catch {
      // The next subscriber tries again.
      shared.withLock { shared in
        shared.loading = nil
        shared.isTracking = false
        shared.live = LiveState(limits: limits)
      }
      return error
    }
  }
}
