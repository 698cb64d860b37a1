// Every limit of the HTTP/2 layer: value, unit, reason, and what the peer sees beyond it.

/// Limits of one connection. Each has a reason here and a row in ARCHITECTURE.md 5.
package struct HTTP2Limits: Sendable {
  /// Streams a client may have open at once; announced in SETTINGS. Beyond: REFUSED_STREAM.
  package var maximumConcurrentStreams: UInt32 = 1000
  /// Window of a stream, bytes: what a client may send before we took any of it. 1 MiB keeps one 4 MiB message at
  /// four round trips. Beyond: the client waits.
  package var streamWindowBytes: UInt32 = 1 << 20
  /// Window of a connection at first, bytes: HTTP/2's own (RFC 9113 6.9.2), and all that a connection may hold outside
  /// the byte budget. Beyond: the client waits.
  static let firstConnectionWindowBytes: Int32 = 65_535
  /// Window of a connection that sends more than half of the first one, bytes, when the byte budget has room: one full
  /// stream. Not at once: 1,000 connections would be a promise of 1 GiB.
  package var connectionWindowBytes: Int32 = 1 << 20
  /// Streams that are not read fill their connection's window: it is doubled up to here, bytes, as long as the byte
  /// budget has room; sixteen full streams. Beyond: the client waits.
  package var maximumConnectionWindowBytes: Int32 = 16 << 20
  /// Header list of a request, bytes counted as in RFC 9113 6.5.2. Beyond: status 431, the connection lives.
  package var maximumHeaderListBytes: UInt32 = 16 << 10
  /// Response bytes held for a stream before its writer is asked to wait; 64 KiB is a few frames ahead of the wire.
  package var streamBufferBytes = 64 << 10
  /// Response bytes of a connection that its client has not read, all streams together: some eight pages of a query.
  /// Beyond: its new calls are refused (gRPC: RESOURCE_EXHAUSTED with retry information).
  package var maximumUnreadBytes = 8 << 20
  /// A client that leaves so many bytes unread, takes nothing for so long, while the byte budget makes streams wait, is
  /// cut: one that does not read must not keep memory from those that do.
  package var stalledReaderBytes = 256 << 10
  package var stalledReaderTimeout = Duration.seconds(10)
  /// Streams that a client may cancel in a burst, and then a second. nghttp2's own 1,000 and 33 cut clients that cancel
  /// as a habit; a cancelled call costs us some 10 us, so that these are 1 % of a core. Beyond ("rapid reset",
  /// CVE-2023-44487): GOAWAY, whose code nghttp2 makes INTERNAL_ERROR.
  static let streamResetBurst: UInt64 = 10_000
  static let streamResetsPerSecond: UInt64 = 1000
  /// Exchanges of a connection that are being answered at once, streams included. As many as are announced: a client
  /// that keeps to the announced number must never meet it, for gRPC clients repeat a refused call once and then fail
  /// it (DECISIONS.md). Beyond: REFUSED_STREAM, which says that nothing was done.
  package var maximumRunningExchanges = 1000
  /// How long a connection beyond the server's number may wait for its first call, which is refused (gRPC:
  /// RESOURCE_EXHAUSTED with retry information). Beyond: GOAWAY ENHANCE_YOUR_CALM "too_many_connections".
  package var refusalGrace = Duration.seconds(5)
  /// The server's number, for the words of that refusal.
  package var maximumConnections = 10_000

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
