// Listens, gives each connection its handler, and drains them all at the end.
package import HTTPCore
package import Logging
package import NIOCore
internal import NIOPosix

/// A server of HTTP/2 on one or more addresses, with or without encryption.
package actor HTTP2Server {
  private let group: any EventLoopGroup
  private let connections: [ObjectIdentifier: LoopConnections]
  private var channels: [any Channel]
  /// The addresses in use, as the listeners are in order; the port is the chosen one when 0 was asked for.
  package nonisolated let addresses: [SocketAddress]

  /// The first address.
  package nonisolated var address: SocketAddress { addresses[0] }

  /// Starts listening on one address, h2c.
  package init(host: String, port: Int, group: any EventLoopGroup, limits: HTTP2Limits = HTTP2Limits(),
               budget: ByteBudget = ByteBudget(), logger: Logger,
               makeHandler: @escaping @Sendable (any EventLoop) -> any HTTPHandler) async throws {
    try await self.init(listeners: [HTTP2Listener(host: host, port: port)], group: group, limits: limits,
                        budget: budget, logger: logger, makeHandler: makeHandler)
  }

  /// Starts listening.
  /// - Parameters:
  ///   - listeners: at least one; their connections are alike from HTTP/2 on.
  ///   - budget: what windows and answers count against; the process has one.
  ///   - makeHandler: called once on each event loop; the handler is used on that loop only.
  /// - Throws: `HTTP2ListenError` when an address can't be had; then none is listened on.
  package init(listeners: [HTTP2Listener], group: any EventLoopGroup, limits: HTTP2Limits = HTTP2Limits(),
               budget: ByteBudget = ByteBudget(), logger: Logger,
               makeHandler: @escaping @Sendable (any EventLoop) -> any HTTPHandler) async throws {
    precondition(!listeners.isEmpty, "a server listens somewhere")
    self.group = group
    let total = ConnectionCount()
    var connections: [ObjectIdentifier: LoopConnections] = [:]
    for loop in group.makeIterator() {
      connections[ObjectIdentifier(loop)] = LoopConnections(loop: loop, limits: limits, budget: budget, logger: logger,
                                                            total: total, makeHandler: makeHandler)
    }
    self.connections = connections
    var channels: [any Channel] = []
    for listener in listeners {
      do {
        channels.append(try await Self.listen(listener, group, connections))
      } catch {
        // One that has closed by itself is as good.
        for channel in channels { try? await channel.close() }
        throw HTTP2ListenError(listener, error)
      }
    }
    self.channels = channels
    addresses = channels.map { channel in
      guard let address = channel.localAddress else { preconditionFailure("a listening channel has an address") }
      return address
    }
  }

  private static func listen(_ listener: HTTP2Listener, _ group: any EventLoopGroup,
                             _ connections: [ObjectIdentifier: LoopConnections]) async throws -> any Channel {
    try await ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      // Begins small and grows with what comes: a fixed 256 KiB cost 270 MiB with 1,000 idle connections, this 25.
      .childChannelOption(
        .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 2048, initial: 4096, maximum: 256 << 10))
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          guard let connections = connections[ObjectIdentifier(channel.eventLoop)] else {
            preconditionFailure("a connection runs on a loop of the group")
          }
          try listener.secure?(channel)
          try connections.add(channel)
        }
      }
      .bind(host: listener.host, port: listener.port).get()
  }

  /// Stops listening and asks every client to go; returns when all have gone or after `deadline`, when the rest is cut.
  package func drain(deadline: Duration) async {
    // A listener that is closed already is as good.
    for channel in channels { try? await channel.close() }
    channels = []
    for connections in connections.values { connections.drain() }
    let end = ContinuousClock.now + deadline
    while await openCount() > 0, ContinuousClock.now < end {
      // Cancellation only shortens the wait; the loop's condition is looked at again.
      try? await Task.sleep(for: .milliseconds(20))
    }
    for connections in connections.values { connections.close() }
    while await openCount() > 0, ContinuousClock.now < end + .seconds(1) {
      try? await Task.sleep(for: .milliseconds(5))
    }
  }

  private func openCount() async -> Int {
    var count = 0
    for connections in connections.values { count += await connections.openCount() }
    return count
  }
}

/// The connections of one event loop, and the handler that answers them all.
private final class LoopConnections: Sendable {
  private struct State {
    var handler: any HTTPHandler
    var memory: ConnectionMemory
    var open: [ObjectIdentifier: HTTP2Handler] = [:]
    var isDraining = false
    /// Runs while there are connections.
    var watch: RepeatedTask?
  }

  private let loop: any EventLoop
  private let limits: HTTP2Limits
  private let logger: Logger
  private let total: ConnectionCount
  private let state: NIOLoopBoundBox<State>

  init(loop: any EventLoop, limits: HTTP2Limits, budget: ByteBudget, logger: Logger, total: ConnectionCount,
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
    let handler = HTTP2Handler(limits: limits, handler: state.value.handler, memory: state.value.memory, logger: logger,
                               admission: total.add(limits))
    let id = ObjectIdentifier(handler)
    state.value.open[id] = handler
    channel.closeFuture.whenComplete { [self] _ in
      total.remove()
      state.value.open[id] = nil
      if state.value.open.isEmpty { stopWatch() }
    }
    if state.value.watch == nil { startWatch() }
    try channel.pipeline.syncOperations.addHandler(handler)
  }

  private func startWatch() {
    let interval = TimeAmount.milliseconds(Int64(limits.watchInterval / .milliseconds(1)))
    state.value.watch = loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [self] _ in
      let now = ContinuousClock.now
      // A connection that is cut leaves the table meanwhile.
      for handler in Array(state.value.open.values) { handler.check(at: now) }
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
