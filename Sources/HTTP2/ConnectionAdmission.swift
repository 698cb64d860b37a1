// Whether a new connection is served: the count of all loops against the limit.
internal import Synchronization

/// What becomes of a new connection.
enum ConnectionAdmission {
  case served
  /// Its first call is refused, then it is asked to go.
  case refused
  /// It is asked to go at once.
  case turnedAway
}

/// The connections of all loops.
final class ConnectionCount: Sendable {
  private let number = Atomic(0)

  /// Counts a connection, whatever becomes of it.
  func add(_ limits: HTTP2Limits) -> ConnectionAdmission {
    let count = number.add(1, ordering: .relaxed).newValue
    if count <= limits.maximumConnections { return .served }
    return count <= limits.maximumConnections + limits.maximumRefusedConnections ? .refused : .turnedAway
  }

  func remove() { number.subtract(1, ordering: .relaxed) }
}
