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
  /// Exchanges of a connection that are being answered at once, streams included. As many as are announced: a client
  /// that keeps to the announced number must never meet it, for gRPC clients repeat a refused call once and then fail
  /// it (DECISIONS.md). Beyond: REFUSED_STREAM, which says that nothing was done.
  package var maximumRunningExchanges = 1000

  /// From the connection to the client's SETTINGS. Slower than any line we know. Beyond: cut.
  package var handshakeTimeout = Duration.seconds(10)
  /// After so long a silence the client is sent a PING: a line that died without a word holds a producer's stream.
  package var keepaliveInterval = Duration.seconds(60)
  /// How long its answer, or anything else, may take. Beyond: cut.
  package var keepaliveTimeout = Duration.seconds(20)
  /// PINGs of a client that come quicker, with no DATA or HEADERS between, are strikes. gRPC's own five minutes would
  /// cut gateways that watch a bad line; the usual setting of such clients is ten seconds, which jitter must not turn
  /// into strikes.
  package var minimumPingInterval = Duration.seconds(5)
  /// Strikes that a client has free, as gRPC's servers give. Beyond: GOAWAY ENHANCE_YOUR_CALM "too_many_pings".
  package var maximumPingStrikes = 2
  /// Without a stream for so long a connection is asked to go. A gateway that reports each quarter of an hour keeps it.
  package var idleTimeout = Duration.seconds(30 * 60)
  /// After so long a connection is asked to go, so that clients spread again over servers. nil = never: there is one.
  package var maximumConnectionAge: Duration?
  /// What streams have to end after that. Beyond: cut.
  package var drainGrace = Duration.seconds(30)

  package init() {}
}
