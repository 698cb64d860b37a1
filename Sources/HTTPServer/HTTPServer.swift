// Listens, gives each connection its handler, and drains them all at the end.
package import HTTPCore
package import Logging
package import NIOCore
internal import NIOPosix

/// A server of HTTP on one or more addresses, with or without encryption.
package actor HTTPServer {
  private let group: any EventLoopGroup
  private let connections: [ObjectIdentifier: LoopConnections]
  private var channels: [any Channel]
  /// The addresses in use, as the listeners are in order; the port is the chosen one when 0 was asked for.
  package nonisolated let addresses: [SocketAddress]

  /// The first address.
  package nonisolated var address: SocketAddress { addresses[0] }

  /// Starts listening on one address, without encryption.
  package init(host: String, port: Int, group: any EventLoopGroup, limits: HTTPServerLimits = HTTPServerLimits(),
               budget: ByteBudget = ByteBudget(), logger: Logger,
               makeHandler: @escaping @Sendable (any EventLoop) -> any HTTPHandler) async throws {
    try await self.init(listeners: [HTTPListener(host: host, port: port)], group: group, limits: limits,
                        budget: budget, logger: logger, makeHandler: makeHandler)
  }

  /// Starts listening.
  /// - Parameters:
  ///   - listeners: at least one; their connections are alike behind encryption.
  ///   - budget: what windows and answers count against; the process has one.
  ///   - makeHandler: called once on each event loop; the handler is used on that loop only.
  /// - Throws: `HTTPListenError` when an address can't be had; then none is listened on.
  package init(listeners: [HTTPListener], group: any EventLoopGroup, limits: HTTPServerLimits = HTTPServerLimits(),
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
        throw HTTPListenError(listener, error)
      }
    }
    self.channels = channels
    addresses = channels.map { channel in
      guard let address = channel.localAddress else { preconditionFailure("a listening channel has an address") }
      return address
    }
  }

  private static func listen(_ listener: HTTPListener, _ group: any EventLoopGroup,
                             _ connections: [ObjectIdentifier: LoopConnections]) async throws -> any Channel {
    try await ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
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
    while await openConnections() > 0, ContinuousClock.now < end {
      // Cancellation only shortens the wait; the loop's condition is looked at again.
      try? await Task.sleep(for: .milliseconds(20))
    }
    for connections in connections.values { connections.close() }
    while await openConnections() > 0, ContinuousClock.now < end + .seconds(1) {
      try? await Task.sleep(for: .milliseconds(5))
    }
  }

  /// Connections that are open now.
  package func openConnections() async -> Int {
    var count = 0
    for connections in connections.values { count += await connections.openCount() }
    return count
  }
}
