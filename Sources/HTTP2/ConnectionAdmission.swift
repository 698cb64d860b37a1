// Whether a new connection is served.

/// What becomes of a new connection.
package enum ConnectionAdmission: Sendable {
  case served
  /// Its first call is refused, then it is asked to go.
  case refused
  /// It is asked to go at once.
  case turnedAway
}
