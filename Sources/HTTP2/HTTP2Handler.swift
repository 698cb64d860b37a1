// One HTTP/2 connection on a NIO channel: feeds the session, tells delegates the news, sends once a read cycle.
internal import HTTPCore
internal import Logging
internal import NIOCore

/// The channel handler of a server connection; concrete, because a generic one costs 900 instructions a request.
final class HTTP2Handler: ChannelInboundHandler, HTTPConnection {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// Bytes gathered for one write: enough that a burst of small answers is one system call.
  private static let outputBatchBytes = 256 << 10

  /// Received bytes that are fed before their streams are told: what they brought is taken while it is in the nearest
  /// cache, and a stream's body stays so small that its storage is used again.
  private static let inputPieceBytes = 32 << 10

  private let limits: HTTP2Limits
  private let handler: any HTTPHandler
  private let logger: Logger
  private let memory: ConnectionMemory
  private var session: HTTP2Session?
  private var context: ChannelHandlerContext?
  private var tlsPeer: TLSPeer?
  private var output = ByteBuffer()
  private var isDraining = false
  private var hasSentGoAway = false
  private var watch: ConnectionWatch
  private let admission: ConnectionAdmission
  private let reads: ReadAllowance

  init(limits: HTTP2Limits, handler: any HTTPHandler, memory: ConnectionMemory, logger: Logger,
       admission: ConnectionAdmission, reads: ReadAllowance) {
    self.limits = limits
    self.handler = handler
    self.memory = memory
    self.logger = logger
    self.admission = admission
    self.reads = reads
    watch = ConnectionWatch(limits: limits, now: .now, jitter: .random(in: -1...1), isRefused: admission == .refused)
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }
  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  /// TLS tells who the peer is before it says that the connection is ready.
  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let peer = event as? TLSPeer { tlsPeer = peer } else { context.fireUserInboundEventTriggered(event) }
  }

  func channelActive(context: ChannelHandlerContext) {
    let address = context.remoteAddress
    let peer = PeerAddress.text(host: address?.ipAddress, port: address?.port)
    let session = HTTP2Session(limits: limits, memory: memory, peer: peer, tlsPeer: tlsPeer)
    session.onOutput = { [unowned self] in scheduleFlush() }
    self.session = session
    if admission == .turnedAway { return calm("too_many_connections") }
    flush()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard let session else { return }
    // With the end of the read cycle.
    session.isFlushDue = true
    let buffer = unwrapInboundIn(data)
    var taken = 0
    // Telling may close the connection.
    while taken < buffer.readableBytes, self.session != nil {
      let end = min(taken + Self.inputPieceBytes, buffer.readableBytes)
      do throws(HTTP2SessionError) {
        try session.receive(buffer.readableBytesUInt8Span.extracting(taken..<end))
      } catch {
        logger.debug("HTTP/2 connection ended", metadata: ["peer": "\(session.peer)", "reason": "\(error.reason)"])
        tellNews()
        context.close(promise: nil)
        return
      }
      tellNews()
      taken = end
    }
    takeNotes(of: session)
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    flush()
    reads.ended()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { flush() }
  }

  func channelInactive(context: ChannelHandlerContext) {
    guard let session else { return }
    for stream in session.live {
      stream.isClosed = true
      session.touch(stream, .closed)
    }
    tellNews()
    session.forgetStreams()
    self.session = nil
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // A connection reset by the peer is everyday; channelInactive follows and tells the streams.
    logger.debug("connection error", metadata: ["error": "\(error)"])
    context.close(promise: nil)
  }

  /// Asks the client to go: GOAWAY in two steps; the connection closes when its last stream has ended.
  func drain() {
    guard !isDraining else { return }
    isDraining = true
    // Without a session the TLS handshake is not over: nobody has been promised anything.
    guard let session else { return close() }
    session.submitShutdownNotice()
    flush()
  }

  func close() { context?.close(promise: nil) }

  /// What is due by `ConnectionWatch`.
  func check(at now: ContinuousClock.Instant) {
    guard let session else { return }
    if session.hasSentBody { watch.sentBody() }
    session.hasSentBody = false
    let isMemoryShort = memory.held.budget.mustStreamsWait
    switch watch.check(at: now, openStreams: session.live.count, unreadBytes: session.unreadBytes, isMemoryShort) {
    case .ping: session.submitKeepalivePing()
    case .drain:
      for stream in session.live { stream.delegate?.connectionIsDraining() }
      drain()
    case .refuse: calm("too_many_connections")
    case .cut(let reason):
      logger.debug("HTTP/2 connection cut", metadata: ["peer": "\(session.peer)", "reason": "\(reason)"])
      close()
    case nil: break
    }
  }

  /// What a read brought that is about the connection, not about its streams.
  private func takeNotes(of session: HTTP2Session) {
    watch.received()
    if session.hasReceivedSettings { watch.greeted() }
    guard session.receivedPings > 0 else { return }
    if session.hasExchanged { watch.exchanged() }
    session.hasExchanged = false
    let now = ContinuousClock.now
    var areWelcome = true
    for _ in 0..<session.receivedPings where !watch.receivedPing(at: now) { areWelcome = false }
    session.receivedPings = 0
    if !areWelcome { calm("too_many_pings") }
  }

  private func calm(_ reason: StaticString) {
    session?.submitCalm(reason)
    flush()
    close()
  }

  // MARK: News

  private func tellNews() {
    guard let session else { return }
    // Telling can touch further streams: they are appended behind and told in the same pass.
    var index = 0
    while index < session.touched.count {
      let stream = session.touched[index]
      index += 1
      stream.isTouched = false
      let news = stream.news
      stream.news = []
      tell(stream, news, session)
    }
    session.touched.removeAll(keepingCapacity: true)
    if session.isDrainAcknowledged, isDraining, !hasSentGoAway {
      hasSentGoAway = true
      session.submitGoAway()
    }
  }

  private func tell(_ stream: HTTP2Stream, _ news: HTTP2Stream.News, _ session: HTTP2Session) {
    if news.contains(.head) { accept(stream) }
    if let delegate = stream.delegate {
      // The end says it all: the body is there.
      if news.contains(.end) {
        delegate.exchangeReceivedEnd()
      } else if news.contains(.body) {
        delegate.exchangeReceivedBody()
      }
    } else if news.contains(.body) {
      stream.body.removeAll()
      stream.creditReceivedBytes()
    }
    if news.contains(.drained), stream.bufferedByteCount < limits.streamBufferBytes {
      stream.delegate?.exchangeDrained()
    }
    if news.contains(.closed) {
      stream.delegate?.exchangeClosed()
      session.remove(stream)
    }
  }

  private func accept(_ stream: HTTP2Stream) {
    guard !stream.isHeaderListTooLarge else {
      return stream.respond(status: 431, fields: HTTPFields(), isEnd: true)
    }
    guard session?.runningCount ?? 0 < limits.maximumRunningExchanges else { return stream.reset(.refused) }
    if let refusal { return refuse(stream, refusal) }
    stream.delegate = handler.accept(stream)
    if stream.delegate != nil { stream.startRunning() }
  }

  /// Why nothing is served on this connection, if so.
  private var refusal: HTTPRefusal? {
    if admission == .refused { return .tooManyConnections(limit: limits.maximumConnections) }
    let unread = session?.unreadBytes ?? 0
    return unread > limits.maximumUnreadBytes
      ? .unreadAnswers(byteCount: unread, limit: limits.maximumUnreadBytes) : nil
  }

  private func refuse(_ stream: HTTP2Stream, _ reason: HTTPRefusal) {
    handler.refuse(stream, reason)
    // Its client has heard why in its own words; now it may go.
    if case .tooManyConnections = reason, !isDraining {
      isDraining = true
      hasSentGoAway = true
      session?.submitCalm("too_many_connections")
    }
  }

  // MARK: Output

  /// Outside a read cycle several answers come in a row: they leave together at the end of the loop's turn.
  private func scheduleFlush() {
    guard let context else { return }
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    context.eventLoop.execute { bound.value.flush() }
  }

  private func flush() {
    guard let session, let context else { return }
    defer { session.isFlushDue = false }
    // A peer that does not read fills the channel; the rest waits in the session, bounded by the peer's windows.
    while context.channel.isWritable {
      output.clear(minimumCapacity: 4096)
      do throws(HTTP2SessionError) {
        try session.send(into: &output, limit: Self.outputBatchBytes)
      } catch {
        logger.warning("HTTP/2 send failed", metadata: ["reason": "\(error.reason)"])
        return context.close(promise: nil)
      }
      guard output.readableBytes > 0 else { break }
      context.writeAndFlush(wrapOutboundOut(output), promise: nil)
      if !session.touched.isEmpty { tellNews() }
    }
    if !session.wantsMore { context.close(promise: nil) }
  }
}
