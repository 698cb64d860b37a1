// Every limit of the TLS layer: value, unit, reason, and what the peer sees beyond it.
package import NIOCore

/// Limits of one connection.
package struct TLSLimits: Sendable {
  /// From the connection to the end of its handshake: ten round trips of a bad radio link. Beyond: the connection is
  /// cut, so that sockets which never say hello do not pile up.
  package var handshakeTimeout: TimeAmount = .seconds(10)
  /// What a refused client has to read our alert before its connection is cut; without it the reset that a close
  /// causes can overtake the alert.
  package var alertTimeout: TimeAmount = .seconds(1)
  /// Bytes that TLS itself may add to an output that the client does not read: answers to key updates, 30 bytes each.
  /// Beyond: the connection is cut.
  package var maximumUnreadBytes = 16 << 10

  package init() {}
}
