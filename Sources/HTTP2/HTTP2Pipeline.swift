// How a server puts HTTP/2 on a connection.
package import HTTPCore
package import Logging
package import NIOCore

/// The way into this module for who listens.
package enum HTTP2Pipeline {
  /// Adds HTTP/2 behind the handlers that a channel has; it begins with `channelActive`. On the channel's loop.
  /// - Parameters:
  ///   - memory: its loop's.
  ///   - reads: told when each turn of the channel ends.
  package static func add(to channel: any Channel, limits: HTTP2Limits, handler: any HTTPHandler,
                          memory: ConnectionMemory, admission: ConnectionAdmission, reads: ReadAllowance,
                          logger: Logger) throws -> any HTTPConnection {
    let connection = HTTP2Handler(limits: limits, handler: handler, memory: memory, logger: logger,
                                  admission: admission, reads: reads)
    try channel.pipeline.syncOperations.addHandler(connection)
    return connection
  }
}
