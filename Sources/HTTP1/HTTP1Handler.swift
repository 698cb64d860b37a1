// One HTTP/1.1 connection on a NIO channel: takes requests in turn, tells delegates the news, sends once a read cycle.
// The file is long because reading, answering and ending hang on each other: each needs the other two.
internal import HTTPCore
internal import Logging
internal import NIOCore
internal import NIOHTTP1

/// The channel handler of a server connection, behind the parser. One request at a time is answered; what was parsed of
/// those behind it waits, and as long as something waits nothing is read.
final class HTTP1Handler: ChannelDuplexHandler, HTTPConnection {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private enum Arrival {
    case part(HTTPServerRequestPart)
    case malformed(HTTP1Refusal)
  }

  private enum Phase {
    case open
    /// Nothing further is answered; the connection ends when what was answered has left.
    case leaving
    /// All has left; the client is to close.
    case lingering
    case closed
  }

  let limits: HTTP1Limits
  private(set) var peer = "unknown"
  private(set) var tlsPeer: TLSPeer?
  private let handler: any HTTPHandler
  private let logger: Logger
  /// The server has all the connections it takes: this one hears so and is closed.
  private let isRefused: Bool
  private let reads: ReadAllowance
  private var context: ChannelHandlerContext?
  private var phase = Phase.open
  private var exchange: HTTP1Exchange?
  private var arrivals = CircularBuffer<Arrival>()
  private var output = ByteBuffer()
  /// Writes that have not left yet.
  private var pendingWrites = 0
  private var watch: HTTP1Watch
  private var hasHadRequest = false
  private var isDraining = false
  private var isReading = false
  private var isTaking = false
  private var isFlushing = false
  private var isFlushScheduled = false
  /// The channel asked for bytes and was told to wait.
  private var isReadWithheld = false

  init(limits: HTTP1Limits, handler: any HTTPHandler, logger: Logger, isRefused: Bool, reads: ReadAllowance) {
    self.limits = limits
    self.handler = handler
    self.logger = logger
    self.isRefused = isRefused
    self.reads = reads
    watch = HTTP1Watch(limits: limits, now: .now)
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }
  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  // MARK: From the channel

  /// TLS tells who the peer is before it says that the connection is ready.
  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let peer = event as? TLSPeer { tlsPeer = peer } else { context.fireUserInboundEventTriggered(event) }
  }

  func channelActive(context: ChannelHandlerContext) {
    let address = context.remoteAddress
    peer = PeerAddress.text(host: address?.ipAddress, port: address?.port)
    do {
      try HTTP1Socket.configure(context.channel)
    } catch {
      logger.debug("socket options not set", metadata: ["peer": "\(peer)", "error": "\(error)"])
    }
    if isRefused {
      refuse(HTTP1Refusal(503, "the server has all the connections that it takes"))
      flush()
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard phase == .open else { return }
    isReading = true
    watch.happened()
    arrivals.append(.part(unwrapInboundIn(data)))
    takeArrivals()
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    isReading = false
    flush()
    reads.ended()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    guard context.channel.isWritable else { return }
    watch.happened()
    scheduleFlush()
  }

  func read(context: ChannelHandlerContext) {
    if wantsBytes { context.read() } else { isReadWithheld = true }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // What comes behind that which could not be parsed is read and dropped: a close would be a reset, which can
    // overtake the answer.
    if error is ByteToMessageDecoderError { return }
    guard phase == .open, let error = error as? HTTPParserError else {
      // A connection reset by the peer is everyday; channelInactive follows and tells the exchange.
      logger.debug("connection error", metadata: ["peer": "\(peer)", "error": "\(error)"])
      // A parser that has lost its way while we wait for the client to close changes nothing.
      if !(error is HTTPParserError) { context.close(promise: nil) }
      return
    }
    arrivals.append(.malformed(HTTP1Refusal(error)))
    takeArrivals()
    scheduleFlush()
  }

  func channelInactive(context: ChannelHandlerContext) {
    phase = .closed
    arrivals.removeAll()
    abandonExchange()
    context.fireChannelInactive()
  }

  // MARK: HTTPConnection

  func drain() {
    isDraining = true
    guard phase == .open else { return }
    guard exchange == nil else {
      exchange?.keepsAlive = false
      return
    }
    if pendingWrites == 0, output.readableBytes == 0 { return close() }
    phase = .leaving
    flush()
  }

  func close() {
    phase = .closed
    context?.close(promise: nil)
  }

  func check(at now: ContinuousClock.Instant) {
    let waiting = waiting
    guard watch.isOverdue(waiting, at: now) else { return }
    logger.debug("HTTP/1.1 connection ended", metadata: ["peer": "\(peer)", "reason": "waited too long: \(waiting)"])
    let isBodyUnanswered = waiting == .body && exchange?.hasResponded == false
    guard waiting == .firstHead || isBodyUnanswered else { return close() }
    abandonExchange()
    refuse(HTTP1Refusal(408, "the request did not come in time"))
    flush()
  }

  private var waiting: HTTP1Watch.Waiting {
    switch phase {
    case .lingering, .closed: return .close
    case .leaving: return .taking
    case .open: break
    }
    if context?.channel.isWritable == false { return .taking }
    guard let exchange else { return hasHadRequest ? .nextHead : .firstHead }
    return !exchange.hasReceivedEnd && wantsBytes ? .body : .method
  }

  // MARK: Requests

  private func takeArrivals() {
    guard !isTaking else { return }
    isTaking = true
    defer { isTaking = false }
    while phase == .open, mayTake, let arrival = arrivals.popFirst() {
      take(arrival)
      settle(isCycleEnd: false)
    }
  }

  /// The next arrival belongs to the request in hand, or there is none and its answer would not wait behind many.
  private var mayTake: Bool {
    guard let exchange else { return output.readableBytes < limits.responseBufferBytes }
    return !exchange.hasReceivedEnd
  }

  private func take(_ arrival: Arrival) {
    switch arrival {
    case .part(.head(let parsed)): begin(parsed)
    case .part(.body(let bytes)): exchange?.receive(bytes)
    // Trailers of a request have no use here; they are read and dropped, as in HTTP/2.
    case .part(.end): exchange?.receiveEnd()
    case .malformed(let refusal):
      let hasResponded = exchange?.hasResponded ?? false
      abandonExchange()
      if hasResponded { close() } else { refuse(refusal) }
    }
  }

  private func begin(_ parsed: NIOHTTP1.HTTPRequestHead) {
    hasHadRequest = true
    do throws(HTTP1Refusal) {
      let request = try HTTP1Request(parsed, scheme: tlsPeer == nil ? "http" : "https", limits: limits)
      let exchange = HTTP1Exchange(request, connection: self)
      if isDraining { exchange.keepsAlive = false }
      self.exchange = exchange
      exchange.delegate = handler.accept(exchange)
      if request.expectsContinue, exchange.delegate != nil, !exchange.hasResponded, self.exchange === exchange {
        output.writeStaticString("HTTP/1.1 100 Continue\r\n\r\n")
      }
    } catch {
      refuse(error)
    }
  }

  /// Answers without a handler, as the last thing on this connection.
  private func refuse(_ refusal: HTTP1Refusal) {
    logger.debug("HTTP/1.1 request refused", metadata: ["peer": "\(peer)", "reason": "\(refusal.reason)"])
    HTTP1Response.append(refusal, to: &output)
    leave()
  }

  private func leave() {
    phase = .leaving
    arrivals.removeAll()
  }

  /// Takes an exchange that is over out of the way. While a read goes on, the rest of its request may still come.
  private func settle(isCycleEnd: Bool) {
    guard let exchange, exchange.isFinished, exchange.hasReceivedEnd || isCycleEnd else { return }
    guard exchange.encode(into: &output) else { return close() }
    guard exchange.hasReceivedEnd || !exchange.discardsRest else { return }
    abandonExchange()
    if !exchange.keepsAlive || !exchange.hasReceivedEnd || isDraining { leave() }
  }

  private func abandonExchange() {
    guard let exchange else { return }
    self.exchange = nil
    exchange.isClosed = true
    exchange.delegate?.exchangeClosed()
    exchange.delegate = nil
  }

  // MARK: Reading

  private var wantsBytes: Bool {
    guard phase == .open else { return true }
    guard arrivals.isEmpty else { return false }
    guard let exchange else { return true }
    // A client whose answer is being made is read on: so we learn that it has gone.
    return exchange.hasReceivedEnd || exchange.uncreditedBytes < limits.receiveBufferBytes
  }

  func updateReading() {
    guard isReadWithheld, wantsBytes, let context else { return }
    isReadWithheld = false
    context.read()
  }

  // MARK: Output

  /// Outside a read cycle several writes come in a row: they leave together at the end of the loop's turn.
  func scheduleFlush() {
    guard !isReading, !isFlushing, !isFlushScheduled, let context else { return }
    isFlushScheduled = true
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    context.eventLoop.execute { bound.value.flush() }
  }

  private func flush() {
    isFlushScheduled = false
    guard !isFlushing, let context, phase == .open || phase == .leaving else { return }
    isFlushing = true
    while true {
      settle(isCycleEnd: true)
      takeArrivals()
      guard context.channel.isWritable, phase != .closed else { break }
      if let exchange, !exchange.isFinished || exchange.hasOutput {
        guard exchange.encode(into: &output) else { break }
      }
      guard output.readableBytes > 0 else { break }
      send(output, context)
      output = context.channel.allocator.buffer(capacity: 0)
      if let exchange, exchange.hasResponded, !exchange.isFinished { exchange.delegate?.exchangeDrained() }
    }
    isFlushing = false
    updateReading()
    if phase == .leaving, output.readableBytes == 0, pendingWrites == 0 { linger() }
  }

  private func send(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
    pendingWrites += 1
    let promise = context.eventLoop.makePromise(of: Void.self)
    promise.futureResult.assumeIsolated().whenComplete { [self] _ in
      pendingWrites -= 1
      watch.happened()
      if phase == .leaving, output.readableBytes == 0, pendingWrites == 0 { linger() }
    }
    context.writeAndFlush(wrapOutboundOut(bytes), promise: promise)
  }

  /// Our side is closed; the client reads its answer and closes too.
  private func linger() {
    guard phase == .leaving else { return }
    phase = .lingering
    context?.close(mode: .output, promise: nil)
    updateReading()
  }
}
