// One connection without a listener: on a channel that its owner has made.
package import HTTPCore
package import Logging
package import NIOCore

/// A server connection on any channel, as `HTTPServer` gives each of its own. Used on the channel's loop.
package struct HTTP2Connection {
  private let handler: HTTP2Handler

  /// Adds the connection to a channel that is not active yet.
  package init(on channel: any Channel, limits: HTTP2Limits = HTTP2Limits(), handler: any HTTPHandler,
               logger: Logger) throws {
    self.handler = HTTP2Handler(limits: limits, handler: handler, memory: ConnectionMemory(ByteBudget()),
                                logger: logger, admission: .served, reads: ReadAllowance { .zero })
    try channel.pipeline.syncOperations.addHandler(self.handler)
  }

  /// Asks the client to go; the connection closes when its last stream has ended.
  package func drain() { handler.drain() }

  /// Keepalive, idle and other times; a server calls this each `HTTP2Limits.watchInterval`.
  package func check(at now: ContinuousClock.Instant) { handler.check(at: now) }
}
