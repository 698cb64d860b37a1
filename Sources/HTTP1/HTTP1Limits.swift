// Every limit of HTTP/1.1: value, unit, reason, and what the client sees beyond it.

/// Limits of one connection. Each has a reason here and a row in ARCHITECTURE.md 5. Requests of a connection are not
/// counted: one that behaves may stay.
package struct HTTP1Limits: Sendable {
  /// Bytes of a request target: what RFC 9112 3 asks for at least. Beyond: 414, the connection closes.
  package var maximumTargetBytes = 8000
  /// Header list of a request, bytes counted as in RFC 9113 6.5.2, as for HTTP/2. Beyond: 431, the connection closes.
  package var maximumHeaderListBytes = 16 << 10
  /// What the parser holds of a head before the limits above are looked at: both, with room, so that they can tell
  /// which it was. Beyond: 431.
  static let maximumParsedBytes = 32 << 10
  /// Bytes of a request that may wait to be consumed; then nothing is read and the client waits.
  package var receiveBufferBytes = 64 << 10
  /// Rest of a refused request that is read and dropped, so that its connection lives. Beyond: the connection closes.
  package var discardedBytes = 64 << 10
  /// Response bytes that may wait before their writer does, and the next pipelined request.
  package var responseBufferBytes = 64 << 10
  /// Bytes of one read. So many pipelined requests are parsed ahead of their turn, and no more are read.
  static let readBytes = 64 << 10

  /// From the first byte, or the TLS handshake, to the first head. Slower than any line we know. Beyond: 408.
  package var headTimeout = Duration.seconds(10)
  /// From an answer to the next complete head. Browsers and pools of clients open another. Beyond: closed.
  package var idleTimeout = Duration.seconds(75)
  /// Silence within a request that is being read: HTTP/1.1 has no PING, so the sender of a slow stream sends something.
  /// Beyond: 408, or cut when the answer has begun.
  package var bodyTimeout = Duration.seconds(60)
  /// How long a client may take none of its answer: a method, and its connection to the database, waits. Beyond: cut.
  package var stallTimeout = Duration.seconds(60)
  /// How long we wait for the client to close after the last answer: a close with unread bytes is a reset, which can
  /// overtake the answer. Beyond: cut.
  package var lingerTimeout = Duration.seconds(2)
  /// A peer that has vanished without a word is found by TCP: probes after 60 s of silence, three of them, 20 s apart.
  static let probeAfterSeconds = 60
  static let probeIntervalSeconds = 20
  static let probeCount = 3

  package init() {}
}
