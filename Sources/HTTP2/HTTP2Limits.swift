// Every limit of the HTTP/2 layer: value, unit, reason, and what the peer sees beyond it.

/// Limits of one connection. Each has a reason here and a row in ARCHITECTURE.md 5.
package struct HTTP2Limits: Sendable {
  /// Streams a client may have open at once; announced in SETTINGS. Beyond: REFUSED_STREAM.
  package var maximumConcurrentStreams: UInt32 = 1000
  /// Window of a stream, bytes: what a client may send before we took any of it. 1 MiB keeps one 4 MiB message at
  /// four round trips. Beyond: the client waits.
  package var streamWindowBytes: UInt32 = 1 << 20
  /// Window of a connection, bytes: sixteen full streams. Beyond: the client waits.
  package var connectionWindowBytes: Int32 = 16 << 20
  /// Header list of a request, bytes counted as in RFC 9113 6.5.2. Beyond: status 431, the connection lives.
  package var maximumHeaderListBytes: UInt32 = 16 << 10
  /// Response bytes held for a stream before its writer is asked to wait; 64 KiB is a few frames ahead of the wire.
  package var streamBufferBytes = 64 << 10
  /// Streams that a client may cancel in a burst, and then a second. nghttp2's own 1,000 and 33 cut clients that cancel
  /// as a habit; a cancelled call costs us some 10 us, so that these are 1 % of a core. Beyond ("rapid reset",
  /// CVE-2023-44487): GOAWAY, whose code nghttp2 makes INTERNAL_ERROR.
  static let streamResetBurst: UInt64 = 10_000
  static let streamResetsPerSecond: UInt64 = 1000

  package init() {}
}
