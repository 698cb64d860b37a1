// TLS on a NIO channel, in front of the handlers that speak the protocol: they see plain bytes and never a handshake.
internal import HTTPCore
package import Logging
package import NIOCore

/// The server's side of TLS. When the handshake is complete it fires a `TLSPeer` as user event and then
/// `channelActive`; handlers behind it hear nothing of a connection that never gets there.
package final class TLSHandler: ChannelDuplexHandler {
  package typealias InboundIn = ByteBuffer
  package typealias InboundOut = ByteBuffer
  package typealias OutboundIn = ByteBuffer
  package typealias OutboundOut = ByteBuffer

  private enum Phase {
    case handshaking
    case open
    /// An alert was sent; what still comes is dropped until the peer closes.
    case refused
    case closed
  }

  private let limits: TLSLimits
  private let logger: Logger
  private var connection: TLSConnection
  private var phase = Phase.handshaking
  /// The handlers behind know of the connection.
  private var isAnnounced = false
  /// What is to be sealed at the next flush, gathered so that small writes share a record.
  private var pending = ByteBuffer()
  private var pendingPromise: EventLoopPromise<Void>?
  /// Bytes that TLS itself sent while the peer read nothing.
  private var unreadBytes = 0
  private var timer: Scheduled<Void>?

  package init(_ context: TLSContext, limits: TLSLimits = TLSLimits(), logger: Logger) {
    connection = TLSConnection(context)
    self.limits = limits
    self.logger = logger
  }

  // MARK: From the peer

  package func channelActive(context: ChannelHandlerContext) {
    close(context, after: limits.handshakeTimeout, "the handshake took too long")
  }

  package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard phase == .handshaking || phase == .open else { return }
    var sealed = unwrapInboundIn(data)
    // Plain bytes are fewer than sealed ones; the rest is the room that OpenSSL wants to see.
    var plain = context.channel.allocator.buffer(capacity: sealed.readableBytes + TLSConnection.recordBytes)
    var isEnded = false
    do throws(TLSError) {
      while sealed.readableBytes > 0, !isEnded {
        connection.receive(&sealed)
        if phase == .handshaking, try connection.handshake() { phase = .open }
        if phase == .open { isEnded = try connection.read(into: &plain) }
      }
    } catch {
      return fail(context, error)
    }
    if phase == .open, !isAnnounced { announce(context) }
    if plain.readableBytes > 0, phase == .open { context.fireChannelRead(wrapInboundOut(plain)) }
    sendOwn(context)
    // close_notify: the peer sends no more and, in HTTP, waits for nothing either.
    if isEnded, phase == .open { close(context: context, mode: .all, promise: nil) }
  }

  package func channelReadComplete(context: ChannelHandlerContext) {
    if phase == .open { context.fireChannelReadComplete() }
  }

  package func channelInactive(context: ChannelHandlerContext) {
    timer?.cancel()
    phase = .closed
    pendingPromise?.fail(ChannelError.ioOnClosedChannel)
    pendingPromise = nil
    if isAnnounced { context.fireChannelInactive() }
  }

  private func announce(_ context: ChannelHandlerContext) {
    timer?.cancel()
    timer = nil
    isAnnounced = true
    let peer = connection.peer()
    logger.trace("TLS handshake complete", metadata: ["version": "\(peer.version)", "cipher": "\(peer.cipher)"])
    context.fireUserInboundEventTriggered(peer)
    context.fireChannelActive()
  }

  // MARK: To the peer

  package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    guard phase == .open else {
      promise?.fail(ChannelError.ioOnClosedChannel)
      return
    }
    let buffer = unwrapOutboundIn(data)
    if pending.readableBytes == 0 { pending = buffer } else { pending.writeImmutableBuffer(buffer) }
    guard let promise else { return }
    if let pendingPromise { pendingPromise.futureResult.cascade(to: promise) } else { pendingPromise = promise }
  }

  package func flush(context: ChannelHandlerContext) {
    guard phase == .open, pending.readableBytes > 0 else { return }
    var plain = pending
    pending = ByteBuffer()
    let promise = pendingPromise
    pendingPromise = nil
    let records = plain.readableBytes / TLSConnection.recordBytes + 1
    let capacity = plain.readableBytes + records * TLSConnection.recordOverheadBytes
    var sealed = context.channel.allocator.buffer(capacity: capacity)
    do throws(TLSError) {
      try connection.write(&plain, into: &sealed)
    } catch {
      promise?.fail(error)
      return fail(context, error)
    }
    context.writeAndFlush(wrapOutboundOut(sealed), promise: promise)
  }

  package func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    if mode != .input { flush(context: context) }
    if mode != .input, phase == .open {
      connection.shutdown()
      sendOwn(context)
    }
    if mode == .all { phase = .closed }
    context.close(mode: mode, promise: promise)
  }

  /// Sends what TLS itself has to say: its handshake, tickets, alerts.
  private func sendOwn(_ context: ChannelHandlerContext) {
    var sealed = ByteBuffer()
    connection.takeSealed(into: &sealed)
    guard sealed.readableBytes > 0 else { return }
    unreadBytes = context.channel.isWritable ? 0 : unreadBytes + sealed.readableBytes
    guard unreadBytes <= limits.maximumUnreadBytes else {
      logger.debug("TLS connection cut: it asks for answers that it does not read")
      phase = .closed
      return context.close(promise: nil)
    }
    context.writeAndFlush(wrapOutboundOut(sealed), promise: nil)
  }

  // MARK: Ends

  /// Tells the peer by an alert. One that may still be sending gets time to read it: a close with unread bytes is a
  /// reset, which can overtake the alert.
  private func fail(_ context: ChannelHandlerContext, _ error: TLSError) {
    logger.debug("TLS connection ended", metadata: [
      "peer": "\(Self.peer(context))", "reason": "\(error)",
      "handshake": "\(phase == .handshaking)",
    ])
    let isRefused = phase == .handshaking
    phase = isRefused ? .refused : .closed
    sendOwn(context)
    guard isRefused, phase == .refused else { return context.close(promise: nil) }
    context.close(mode: .output, promise: nil)
    close(context, after: limits.alertTimeout, "the refused client did not close")
  }

  private static func peer(_ context: ChannelHandlerContext) -> String {
    let address = context.remoteAddress
    return PeerAddress.text(host: address?.ipAddress, port: address?.port)
  }

  /// One timer at a time: first for the handshake, then for the end of a refused one.
  private func close(_ context: ChannelHandlerContext, after time: TimeAmount, _ reason: String) {
    timer?.cancel()
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: time) { [self] in
      logger.debug("TLS connection cut", metadata: [
        "peer": "\(Self.peer(context))", "reason": "\(reason)",
      ])
      phase = .closed
      context.close(promise: nil)
    }
  }
}
