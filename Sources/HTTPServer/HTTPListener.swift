// Where a server listens, and what stands in front of HTTP there.
package import NIOCore

/// One address of a server.
package struct HTTPListener: Sendable {
  package var host: String
  /// 0: any free one.
  package var port: Int
  /// Puts encryption in front of HTTP: called on the loop of each new connection, before anything is read of it. The
  /// handler that it adds fires `channelActive` when HTTP may begin. nil: none.
  package var secure: (@Sendable (any Channel) throws -> Void)?

  package init(host: String, port: Int, secure: (@Sendable (any Channel) throws -> Void)? = nil) {
    self.host = host
    self.port = port
    self.secure = secure
  }
}

/// An address that can't be had.
package struct HTTPListenError: Error, CustomStringConvertible {
  package let description: String

  init(_ listener: HTTPListener, _ reason: any Error) {
    let host = listener.host.contains(":") ? "[\(listener.host)]" : listener.host
    description = "can't listen on \(host):\(listener.port): \(reason)"
  }
}
