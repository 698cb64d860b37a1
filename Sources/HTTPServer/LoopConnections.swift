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
    var memory: ConnectionMemory
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

  init(loop: any EventLoop, limits: HTTPServerLimits, budget: ByteBudget, logger: Logger, total: ConnectionCount,
       makeHandler: @Sendable (any EventLoop) -> any HTTPHandler) {
    self.loop = loop
    self.limits = limits
    self.logger = logger
    self.total = total
    let state = State(handler: makeHandler(loop), memory: ConnectionMemory(budget))
    self.state = NIOLoopBoundBox.makeBoxSendingValue(state, eventLoop: loop)
  }

  func add(_ channel: any Channel) throws {
    // Accepted just as the drain began: nobody will tell it to go.
    guard !state.value.isDraining else { return channel.close(promise: nil) }
    let reads = ReadAllowance(clock: ThreadClock.now)
    try channel.syncOptions?.setOption(.recvAllocator, value: AllowedReads(reads))
    let admission = total.add(limits)
    let id = ObjectIdentifier(channel)
    let detector = ProtocolDetector(timeout: limits.detectionTimeout, logger: logger) { [self] version in
      state.value.open[id] = try install(version, on: channel, admission, reads)
    }
    state.value.open[id] = detector
    channel.closeFuture.whenComplete { [self] _ in
      total.remove()
      state.value.open[id] = nil
      if state.value.open.isEmpty { stopWatch() }
    }
    if state.value.watch == nil { startWatch() }
    try channel.pipeline.syncOperations.addHandler(detector)
  }

  private func install(_ version: ProtocolDetector.Version, on channel: any Channel,
                       _ admission: ConnectionAdmission, _ reads: ReadAllowance) throws -> any HTTPConnection {
    let handler = state.value.handler
    switch version {
    case .http1:
      return try HTTP1Pipeline.add(to: channel, limits: limits.http1, handler: handler,
                                   isRefused: admission != .served, reads: reads, logger: logger)
    case .http2:
      var http2 = limits.http2
      http2.maximumConnections = limits.maximumConnections
      return try HTTP2Pipeline.add(to: channel, limits: http2, handler: handler, memory: state.value.memory,
                                   admission: admission, reads: reads, logger: logger)
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
  private let number = Atomic(0)

  /// Counts a connection, whatever becomes of it.
  func add(_ limits: HTTPServerLimits) -> ConnectionAdmission {
    let count = number.add(1, ordering: .relaxed).newValue
    if count <= limits.maximumConnections { return .served }
    return count <= limits.maximumConnections + limits.maximumRefusedConnections ? .refused : .turnedAway
  }

  func remove() { number.subtract(1, ordering: .relaxed) }
}
