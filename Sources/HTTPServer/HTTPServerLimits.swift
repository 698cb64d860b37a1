// Limits of the server as a whole, and those of each version of HTTP.
package import HTTP1
package import HTTP2

/// Limits of a server. Each has a reason here, or in the version's own limits, and a row in ARCHITECTURE.md 5.
package struct HTTPServerLimits: Sendable {
  package var http1 = HTTP1Limits()
  package var http2 = HTTP2Limits()
  /// Connections of the server, each some 40 KiB. Beyond: GOAWAY ENHANCE_YOUR_CALM "too_many_connections", or
  /// status 503.
  package var maximumConnections = 10_000
  /// From the connection to the bytes that say which HTTP it is, the TLS handshake included. Beyond: cut.
  package var detectionTimeout = Duration.seconds(10)
  /// How often each connection is looked at; all times of connections are kept to this.
  package var watchInterval = Duration.seconds(1)

  package init() {}
}
