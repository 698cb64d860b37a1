// How a server puts HTTP/1.1 on a connection.
package import HTTPCore
package import Logging
package import NIOCore
internal import NIOHTTP1

/// The way into this module for who listens.
package enum HTTP1Pipeline {
  /// Adds HTTP/1.1 behind the handlers that a channel has; it begins with `channelActive`. On the channel's loop.
  /// - Parameters:
  ///   - isRefused: the server has all the connections it takes; this one hears so and is closed.
  ///   - reads: told when each turn of the channel ends.
  package static func add(to channel: any Channel, limits: HTTP1Limits, handler: any HTTPHandler, isRefused: Bool,
                          reads: ReadAllowance, logger: Logger) throws -> any HTTPConnection {
    var parserLimits = NIOHTTPDecoderLimitConfiguration()
    parserLimits.maxHeaderFieldSize = HTTP1Limits.maximumParsedBytes
    parserLimits.maxHeaderListSize = HTTP1Limits.maximumParsedBytes
    // Each field counts 32 bytes and more in our own limit, which comes first.
    parserLimits.maxHeaderFieldCount = HTTP1Limits.maximumParsedBytes / 32
    let decoder = HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes, limitConfiguration: parserLimits)
    let connection = HTTP1Handler(limits: limits, handler: handler, logger: logger, isRefused: isRefused, reads: reads)
    try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(decoder))
    try channel.pipeline.syncOperations.addHandler(connection)
    return connection
  }
}
