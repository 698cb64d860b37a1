// One request and its response, as a transport offers it and as a protocol above answers it.

/// The transport's side of one exchange. Confined to the event loop of its connection; made by HTTP1 or HTTP2, used by
/// RPC.
///
/// A response is `respond`, any number of `write`, then `finish`; or `respond` with `isEnd` alone. A `content-length`
/// among its fields is a promise.
public protocol HTTPExchange: AnyObject {
  var head: HTTPRequestHead { get }
  /// `head.memo`, with nothing else of the head.
  var memo: HTTPHeadMemo? { get }
  /// Body bytes that came and were not yet taken out.
  var body: HTTPBody { get set }
  /// Bytes written that the peer's windows have not yet let out.
  var bufferedByteCount: Int { get }
  /// The same of all exchanges of the connection.
  var connectionBufferedByteCount: Int { get }
  /// Address of the peer, for logs and audit.
  var peer: String { get }
  /// What TLS knows of the peer; nil on a connection without it.
  var tlsPeer: TLSPeer? { get }
  /// What flow control lets through now; nil in versions of HTTP that have none, and when the exchange is closed.
  var windows: HTTPWindows? { get }
  /// Whether `finish` brings its trailers to every client. HTTP/1.1 does not.
  var carriesTrailers: Bool { get }

  /// Sends the response head; with `isEnd` it is the whole response.
  func respond(status: Int, fields: HTTPFields, isEnd: Bool)
  /// Sends the head of a response whose body follows.
  func respond(_ head: PreparedFields)
  /// Lets the caller append body bytes where they leave from, with no copy between.
  func write(_ append: (inout [UInt8]) -> Void)
  /// Ends the response, with trailers if there are any; what the request still sends is not wanted.
  func finish(trailers: HTTPFields)
  /// The same with trailers that many responses have.
  func finish(_ trailers: PreparedFields)
  /// A head, a body and trailers that come together: the whole of most responses, in one call.
  func respond(_ head: PreparedFields, trailers: PreparedFields, _ append: (inout [UInt8]) -> Void)
  /// Ends the exchange at once, whatever state it is in.
  func reset(_ reason: HTTPResetReason)
  /// Opens the peer's window again by what was received so far and not yet credited. Not called: the peer waits.
  func creditReceivedBytes()
  /// The same by `byteCount` of the oldest that were received and not yet credited.
  func credit(_ byteCount: Int)
}

extension HTTPExchange {
  public var memo: HTTPHeadMemo? { head.memo }
  /// Transports without flow control of their own.
  public var windows: HTTPWindows? { nil }

  /// Transports without TLS.
  public var tlsPeer: TLSPeer? { nil }

  public func respond(_ head: PreparedFields) { respond(status: head.status, fields: head.fields, isEnd: false) }
  public func finish(_ trailers: PreparedFields) { finish(trailers: trailers.fields) }
  public func respond(_ head: PreparedFields, trailers: PreparedFields, _ append: (inout [UInt8]) -> Void) {
    respond(head)
    write(append)
    finish(trailers)
  }
  public var carriesTrailers: Bool { true }

  /// A whole answer for people, in one sentence. HEAD gets its head.
  public func respond(status: Int, fields: HTTPFields = HTTPFields(), text: String) {
    var fields = fields
    fields.append("content-type", "text/plain; charset=utf-8")
    fields.append("content-length", String(text.utf8.count + 1))
    guard !head.isMethod("HEAD") else { return respond(status: status, fields: fields, isEnd: true) }
    respond(status: status, fields: fields, isEnd: false)
    write { $0 += Array(text.utf8) + [UInt8(ascii: "\n")] }
    finish(trailers: HTTPFields())
  }
  /// Transports with one exchange at a time.
  public var connectionBufferedByteCount: Int { bufferedByteCount }
  /// Transports without windows of their own.
  public func credit(_ byteCount: Int) { creditReceivedBytes() }
}

/// Why a transport gives an exchange to nobody; the protocol above has words for it.
public enum HTTPRefusal: Sendable, Equatable {
  /// The server has as many connections as it takes.
  case tooManyConnections(limit: Int)
  /// The client asks on and does not read its answers.
  case unreadAnswers(byteCount: Int, limit: Int)
}

/// Flow control of an exchange: the smaller of its own window and its connection's, bytes.
public struct HTTPWindows: Sendable, Equatable {
  /// What the peer may still send.
  public var receivable: Int
  /// What we may still send.
  public var sendable: Int

  public init(receivable: Int, sendable: Int) {
    self.receivable = receivable
    self.sendable = sendable
  }
}

/// Why an exchange is cut; each HTTP version has its own code for it.
public enum HTTPResetReason: Sendable {
  case cancelled
  case internalError
  /// Nothing was done: the client may repeat it.
  case refused
  /// The request breaks a rule of HTTP.
  case malformed
}

/// What answers an exchange. All calls come on the connection's event loop.
public protocol HTTPExchangeDelegate: AnyObject {
  /// `exchange.body` has grown.
  func exchangeReceivedBody()
  /// The request is complete.
  func exchangeReceivedEnd()
  /// The exchange is gone: reset by the peer, connection lost, or fully answered. Nothing follows.
  func exchangeClosed()
  /// What was written has left; there is room for more.
  func exchangeDrained()
  /// The connection is going away: a long exchange is to say so in its own words and end soon.
  func connectionIsDraining()
}

/// Answers exchanges; one instance an event loop, used only there.
public protocol HTTPHandler: AnyObject {
  /// The head of a request is complete: returns who takes the rest, or nil when it was answered already.
  func accept(_ exchange: any HTTPExchange) -> (any HTTPExchangeDelegate)?
  /// Answers a request that is not to be served.
  func refuse(_ exchange: any HTTPExchange, _ reason: HTTPRefusal)
  /// The server is going away: long exchanges are to say so in their own words and end soon.
  func drain()
}

extension HTTPHandler {
  public func refuse(_ exchange: any HTTPExchange, _ reason: HTTPRefusal) {
    exchange.respond(status: 503, fields: HTTPFields([("retry-after", "1")]), isEnd: true)
  }
}

/// Received body bytes: appended behind, taken from the front, storage reused.
public struct HTTPBody: Sendable {
  /// Taken bytes that are left in front: with 64 KiB a stream outgrew the storage that is kept, and asked for new again
  /// and again: page faults were a twentieth of its profile.
  private static let movedBytes = 8 << 10

  private var bytes: [UInt8] = []
  private var start = 0

  public init() {}

  public var count: Int { bytes.count - start }

  public mutating func append(_ span: Span<UInt8>) { bytes.append(copying: span) }

  /// Gives what is there, oldest first.
  public func withBytes<Result, Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(bytes.span.extracting(start..<bytes.count))
  }

  /// Forgets the first `count` bytes.
  public mutating func removeFirst(_ count: Int) {
    precondition(count <= self.count, "more bytes taken from a body than it has")
    start += count
    if start == bytes.count {
      removeAll()
    } else if start > Self.movedBytes, start > bytes.count / 2 {
      // A long stream seldom ends at a message boundary: move the rest down now and then.
      bytes.removeSubrange(0..<start)
      start = 0
    }
  }

  public mutating func removeAll() {
    guard !bytes.isEmpty else { return }
    // A pooled stream that once carried a large message must not keep megabytes for ever.
    bytes.removeAll(keepingCapacity: bytes.capacity <= 65_536)
    start = 0
  }
}
