// Finds out which HTTP a connection speaks: by ALPN, otherwise by its first bytes. Then it is gone.
internal import HTTPCore
internal import Logging
internal import NIOCore

/// Stands where the version's own handlers will stand, and leaves the pipeline once they are there: what comes later
/// costs nothing more.
final class ProtocolDetector: ChannelInboundHandler, RemovableChannelHandler, HTTPConnection {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  enum Version {
    case http1
    case http2
  }

  /// What a client of HTTP/2 sends first (RFC 9113 3.4), made so that nothing else begins with it.
  private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  /// Adds the handlers of a version behind those that are there.
  private let install: (Version) throws -> Void
  private let timeout: Duration
  private let logger: Logger
  private let begin = ContinuousClock.now
  private var context: ChannelHandlerContext?
  private var tlsPeer: TLSPeer?
  private var received = ByteBuffer()

  init(timeout: Duration, logger: Logger, install: @escaping (Version) throws -> Void) {
    self.timeout = timeout
    self.logger = logger
    self.install = install
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }
  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let peer = event as? TLSPeer { tlsPeer = peer } else { context.fireUserInboundEventTriggered(event) }
  }

  func channelActive(context: ChannelHandlerContext) {
    switch tlsPeer?.applicationProtocol {
    case "h2": choose(.http2, context)
    case "http/1.1": choose(.http1, context)
    default: break
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = unwrapInboundIn(data)
    received.writeBuffer(&bytes)
    let seen = received.readableBytesView
    if !seen.starts(with: Self.preface.prefix(seen.count)) {
      choose(.http1, context)
    } else if seen.count >= Self.preface.count {
      choose(.http2, context)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    logger.debug("connection error", metadata: ["error": "\(error)"])
    context.close(promise: nil)
  }

  /// Hands over: the new handlers hear what was heard here, in the same order.
  private func choose(_ version: Version, _ context: ChannelHandlerContext) {
    do {
      try install(version)
    } catch {
      logger.error("a connection got no handlers", metadata: ["error": "\(error)"])
      return context.close(promise: nil)
    }
    if let tlsPeer { context.fireUserInboundEventTriggered(tlsPeer) }
    context.fireChannelActive()
    if received.readableBytes > 0 {
      context.fireChannelRead(wrapInboundOut(received))
      received = ByteBuffer()
    }
    context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
  }

  // MARK: HTTPConnection

  /// Nobody has been promised anything.
  func drain() { close() }

  func close() { context?.close(promise: nil) }

  func check(at now: ContinuousClock.Instant) {
    guard now - begin >= timeout else { return }
    logger.debug("connection cut: it has not said what it speaks")
    close()
  }
}
