// One HTTP/2 stream: what came in, what is to go out. Decides nothing about frames; the session does.
internal import HTTPCore

/// The state of one stream and its side of `HTTPExchange`. Lives on its connection's loop; reused after it closes.
final class HTTP2Stream: HTTPExchange {
  /// News that the connection has not told the delegate yet.
  struct News: OptionSet {
    let rawValue: UInt8
    static let head = News(rawValue: 1)
    static let body = News(rawValue: 2)
    static let end = News(rawValue: 4)
    static let drained = News(rawValue: 8)
    static let closed = News(rawValue: 16)
  }

  /// A cycle that `HTTP2Session.forgetStreams` breaks: a counted reference that is never nil costs least on the way.
  let session: HTTP2Session
  var id: Int32 = 0
  /// Place in `HTTP2Session.live`.
  var liveIndex = 0

  /// nil until its head is complete.
  private var received: HTTP2Head?
  var head: HTTPRequestHead { received?.request ?? HTTPRequestHead() }
  var memo: HTTPHeadMemo? { received?.request.memo }
  var isHeaderListTooLarge: Bool { received?.isTooLarge ?? false }
  var body = HTTPBody()
  var receivedBodyBytes = 0
  /// It broke a rule of HTTP and is being reset: what still comes is dropped.
  var isMalformed = false
  var news: News = []
  var isTouched = false
  var delegate: (any HTTPExchangeDelegate)?
  /// Received bytes of this stream for which no WINDOW_UPDATE is due yet.
  var uncreditedBytes = 0

  var outbound: [UInt8] = []
  var outboundStart = 0
  var hasResponded = false
  var isFinished = false
  var hasReceivedEnd = false
  var trailers: HTTPFields?
  /// Instead of `trailers`.
  var preparedTrailers: PreparedFields?
  var hasTrailers: Bool { preparedTrailers != nil || trailers != nil }
  /// nghttp2 asked for data when there was none; it must be woken.
  var isDeferred = false
  /// Its delegate is answering; counted in `HTTP2Session.runningCount`.
  private var isRunning = false
  /// The peer, or our own reset, has ended the stream: nothing more can be sent.
  var isClosed = false

  init(session: HTTP2Session) { self.session = session }

  func open(id: Int32) { self.id = id }

  func take(_ head: HTTP2Head) { received = head }

  /// Whether the body is not longer than its announced length and, at the end, not shorter (RFC 9113 8.1.1).
  func bodyAddsUp(isEnd: Bool) -> Bool {
    guard let contentLength = received?.contentLength else { return true }
    return isEnd ? receivedBodyBytes == contentLength : receivedBodyBytes <= contentLength
  }

  /// Back to the state of a new stream, storage kept.
  func recycle() {
    received = nil
    body.removeAll()
    receivedBodyBytes = 0
    isMalformed = false
    news = []
    delegate = nil
    uncreditedBytes = 0
    if !outbound.isEmpty || outbound.capacity > 65_536 {
      outbound.removeAll(keepingCapacity: outbound.capacity <= 65_536)
    }
    outboundStart = 0
    hasResponded = false
    isFinished = false
    hasReceivedEnd = false
    trailers = nil
    preparedTrailers = nil
    isDeferred = false
    isClosed = false
  }

  func startRunning() {
    guard !isFinished, !isClosed, !isRunning else { return }
    isRunning = true
    session.runningCount += 1
  }

  func stopRunning() {
    guard isRunning else { return }
    isRunning = false
    session.runningCount -= 1
  }

  // MARK: HTTPExchange

  var bufferedByteCount: Int { outbound.count - outboundStart }
  var connectionBufferedByteCount: Int { session.unreadBytes }
  var peer: String { session.peer }
  var tlsPeer: TLSPeer? { session.tlsPeer }
  var windows: HTTPWindows? { isClosed ? nil : session.windows(of: self) }

  func respond(status: Int, fields: HTTPFields, isEnd: Bool) {
    guard !isClosed else { return }
    precondition(!hasResponded, "a response has one head")
    hasResponded = true
    isFinished = isEnd
    if isEnd { stopRunning() }
    session.submitResponse(self, status: status, fields: fields, isEnd: isEnd)
  }

  func respond(_ head: PreparedFields) {
    guard !isClosed else { return }
    precondition(!hasResponded, "a response has one head")
    hasResponded = true
    session.submitResponse(self, head)
  }

  func write(_ append: (inout [UInt8]) -> Void) {
    guard !isClosed else { return }
    precondition(hasResponded && !isFinished, "body bytes come between head and end")
    let before = outbound.count
    append(&outbound)
    session.wrote(outbound.count - before)
    wake()
  }

  func finish(trailers: HTTPFields) {
    // No trailers: the last DATA frame ends the stream.
    self.trailers = trailers.count > 0 ? trailers : nil
    finish()
  }

  func finish(_ trailers: PreparedFields) {
    preparedTrailers = trailers
    finish()
  }

  private func finish() {
    guard !isClosed else { return }
    precondition(hasResponded && !isFinished, "a response ends once")
    isFinished = true
    stopRunning()
    wake()
  }

  func respond(_ head: PreparedFields, trailers: PreparedFields, _ append: (inout [UInt8]) -> Void) {
    guard !isClosed else { return }
    precondition(!hasResponded, "a response has one head")
    hasResponded = true
    append(&outbound)
    session.wrote(outbound.count)
    isFinished = true
    preparedTrailers = trailers
    stopRunning()
    session.submitResponse(self, head)
  }

  func reset(_ reason: HTTPResetReason) {
    guard !isClosed else { return }
    session.submitReset(self, reason)
  }

  func creditReceivedBytes() { credit(uncreditedBytes) }

  func credit(_ byteCount: Int) {
    let byteCount = min(byteCount, uncreditedBytes)
    guard byteCount > 0 else { return }
    uncreditedBytes -= byteCount
    session.credit(self, byteCount: byteCount)
  }

  private func wake() {
    if isDeferred {
      isDeferred = false
      session.resumeData(self)
    }
    session.askForFlush()
  }
}
