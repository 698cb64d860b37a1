// The open connections of one event loop: counts them, looks after them, and asks them to go.
internal import HTTP1
internal import HTTP2
internal import HTTPCore
internal import Logging
internal import NIOCore
internal import Synchronization

/// The connections of one event loop, and the handler that answers them all.
final class LoopConnections: Sendable {
  private struct State {
    var handler: any HTTPHandler
    var open: [ObjectIdentifier: any HTTPConnection] = [:]
    var isDraining = false
    /// Runs while there are connections.
    var watch: RepeatedTask?
  }

  private let loop: any EventLoop
  private let limits: HTTPServerLimits
  private let logger: Logger
  private let total: ConnectionCount
  private let state: NIOLoopBoundBox<State>

  init(loop: any EventLoop, limits: HTTPServerLimits, logger: Logger, total: ConnectionCount,
       makeHandler: @Sendable (any EventLoop) -> any HTTPHandler) {
    self.loop = loop
    self.limits = limits
    self.logger = logger
    self.total = total
    state = NIOLoopBoundBox.makeBoxSendingValue(State(handler: makeHandler(loop)), eventLoop: loop)
  }

  func add(_ channel: any Channel) throws {
    // Accepted just as the drain began: nobody will tell it to go.
    guard !state.value.isDraining else { return channel.close(promise: nil) }
    let isRefused = total.number.add(1, ordering: .relaxed).newValue > limits.maximumConnections
    let id = ObjectIdentifier(channel)
    let detector = ProtocolDetector(timeout: limits.detectionTimeout, logger: logger) { [self] version in
      state.value.open[id] = try install(version, on: channel, isRefused: isRefused)
    }
    state.value.open[id] = detector
    channel.closeFuture.whenComplete { [self] _ in
      total.number.subtract(1, ordering: .relaxed)
      state.value.open[id] = nil
      if state.value.open.isEmpty { stopWatch() }
    }
    if state.value.watch == nil { startWatch() }
    try channel.pipeline.syncOperations.addHandler(detector)
  }

  private func install(_ version: ProtocolDetector.Version, on channel: any Channel,
                       isRefused: Bool) throws -> any HTTPConnection {
    let handler = state.value.handler
    return switch version {
    case .http1:
      try HTTP1Pipeline.add(to: channel, limits: limits.http1, handler: handler, isRefused: isRefused, logger: logger)
    case .http2:
      try HTTP2Pipeline.add(to: channel, limits: limits.http2, handler: handler, isRefused: isRefused, logger: logger)
    }
  }

  private func startWatch() {
    let interval = TimeAmount.milliseconds(Int64(limits.watchInterval / .milliseconds(1)))
    state.value.watch = loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [self] _ in
      let now = ContinuousClock.now
      // A connection that is cut leaves the table meanwhile.
      for connection in Array(state.value.open.values) { connection.check(at: now) }
    }
  }

  private func stopWatch() {
    state.value.watch?.cancel()
    state.value.watch = nil
  }

  func drain() {
    loop.execute { [self] in
      state.value.isDraining = true
      state.value.handler.drain()
      state.value.open.values.forEach { $0.drain() }
    }
  }

  func close() { loop.execute { [self] in state.value.open.values.forEach { $0.close() } } }

  func openCount() async -> Int {
    // A loop that has shut down has no connections.
    (try? await loop.submit { [self] in state.value.open.count }.get()) ?? 0
  }
}

/// The connections of all loops.
final class ConnectionCount: Sendable {
  let number = Atomic(0)
}
