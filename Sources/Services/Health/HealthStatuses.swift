// Which services are healthy, and who wants to know of changes.
internal import Synchronization

/// The serving status of each service; "" is the server as a whole. Any thread.
package final class HealthStatuses: Sendable {
  package enum Status: Sendable { case serving, notServing }

  private struct State {
    var byService: [String: Status]
    var watchers: [Int: AsyncStream<Status?>.Continuation] = [:]
    var watchedService: [Int: String] = [:]
    var nextWatcher = 0
    var isShutDown = false
  }

  private let state: Mutex<State>

  /// All services begin as NOT_SERVING.
  package init(services: [String]) {
    state = Mutex(State(byService: Dictionary(uniqueKeysWithValues: (services + [""]).map { ($0, .notServing) })))
  }

  /// nil: there is no such service.
  package func status(of service: String) -> Status? { state.withLock { $0.byService[service] } }

  package func setAll(_ status: Status) {
    state.withLock { state in
      for service in state.byService.keys { state.byService[service] = status }
      for (id, watcher) in state.watchers {
        if let service = state.watchedService[id], state.byService[service] != nil { watcher.yield(status) }
      }
    }
  }

  /// NOT_SERVING for ever; watchers are told and then ended, for a watch would hold up a drain.
  package func shutDown() {
    setAll(.notServing)
    let watchers = state.withLock { state in
      state.isShutDown = true
      return Array(state.watchers.values)
    }
    // Outside the lock: ending a watcher calls `forget`.
    for watcher in watchers { watcher.finish() }
  }

  /// The status now and at each change; ends at shutdown.
  package func changes(of service: String) -> AsyncStream<Status?> {
    AsyncStream { continuation in
      let (id, isShutDown) = state.withLock { state in
        state.nextWatcher += 1
        state.watchers[state.nextWatcher] = continuation
        state.watchedService[state.nextWatcher] = service
        continuation.yield(state.byService[service])
        return (state.nextWatcher, state.isShutDown)
      }
      continuation.onTermination = { [weak self] _ in self?.forget(id) }
      if isShutDown { continuation.finish() }
    }
  }

  private func forget(_ id: Int) {
    state.withLock { state in
      state.watchers[id] = nil
      state.watchedService[id] = nil
    }
  }
}
