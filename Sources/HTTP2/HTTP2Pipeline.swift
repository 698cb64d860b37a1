// How a server puts HTTP/2 on a connection.
package import HTTPCore
package import Logging
package import NIOCore

/// The way into this module for who listens.
package enum HTTP2Pipeline {
  /// Adds HTTP/2 behind the handlers that a channel has; it begins with `channelActive`. On the channel's loop.
  /// - Parameter isRefused: the server has all the connections it takes; this one hears so and is closed.
  package static func add(to channel: any Channel, limits: HTTP2Limits, handler: any HTTPHandler, isRefused: Bool,
                          logger: Logger) throws -> any HTTPConnection {
    let connection = HTTP2Handler(limits: limits, handler: handler, logger: logger, isRefused: isRefused)
    try channel.pipeline.syncOperations.addHandler(connection)
    return connection
  }
}
