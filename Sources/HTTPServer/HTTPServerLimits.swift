// Limits of the server as a whole, and those of each version of HTTP.
package import HTTP2

/// Limits of a server. Each has a reason here, or in the version's own limits, and a row in ARCHITECTURE.md 5.
package struct HTTPServerLimits: Sendable {
  package var http2 = HTTP2Limits()
  /// Connections of the server, each some 40 KiB. Beyond: GOAWAY ENHANCE_YOUR_CALM "too_many_connections".
  package var maximumConnections = 10_000
  /// How often each connection is looked at; all times of connections are kept to this.
  package var watchInterval = Duration.seconds(1)

  package init() {}
}
