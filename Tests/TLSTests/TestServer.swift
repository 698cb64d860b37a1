// A TLS server of one test: gives back what it gets, or sends as much as is asked for.
import HTTPCore
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TLS

/// What a server saw, in order.
final class Observations: Sendable {
  struct State {
    var peers: [TLSPeer] = []
    var readBytes = 0
    var sentBytes = 0
    var closedCount = 0
  }

  private let state = Mutex(State())

  var value: State { state.withLock { $0 } }
  func note(_ change: (inout sending State) -> Void) { state.withLock { change(&$0) } }
}

/// Listens on a free port of loopback until it goes away.
final class TestServer {
  let observed = Observations()
  let port: Int
  private let channel: any Channel

  init(_ credentials: TLSCredentials, limits: TLSLimits = TLSLimits(), sends byteCount: Int? = nil) throws {
    channel = try ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { [observed] channel in
        channel.eventLoop.makeCompletedFuture {
          let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
          let pipeline = channel.pipeline.syncOperations
          try pipeline.addHandler(TLSHandler(credentials.current, limits: limits, logger: logger))
          try pipeline.addHandler(TestHandler(observed, sends: byteCount))
        }
      }
      .bind(host: "127.0.0.1", port: 0).wait()
    port = channel.localAddress?.port ?? 0
  }

  convenience init(_ files: TLSFiles, limits: TLSLimits = TLSLimits(), protocols: [String] = ["h2", "http/1.1"],
                   sends byteCount: Int? = nil) throws {
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    try self.init(TLSCredentials(files, protocols: protocols, logger: logger), limits: limits, sends: byteCount)
  }

  // A listener that has closed by itself is as good.
  deinit { try? channel.close().wait() }
}

/// Echoes; or, with `sends`, answers the first byte by so many bytes of a pattern, no faster than they leave.
private final class TestHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let observed: Observations
  private var left: Int?
  private var sent = 0
  private var isSending = false

  init(_ observed: Observations, sends byteCount: Int?) {
    self.observed = observed
    left = byteCount
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let peer = event as? TLSPeer { observed.note { $0.peers.append(peer) } }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    observed.note { $0.readBytes += buffer.readableBytes }
    guard left == nil else {
      isSending = true
      return send(context)
    }
    // In two pieces: they are to share a record.
    let half = buffer.readableBytes / 2
    if let first = buffer.getSlice(at: buffer.readerIndex, length: half), first.readableBytes > 0 {
      context.write(wrapOutboundOut(first), promise: nil)
    }
    if let second = buffer.getSlice(at: buffer.readerIndex + half, length: buffer.readableBytes - half) {
      context.write(wrapOutboundOut(second), promise: nil)
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) { context.flush() }

  func channelWritabilityChanged(context: ChannelHandlerContext) { if isSending { send(context) } }

  func channelInactive(context: ChannelHandlerContext) { observed.note { $0.closedCount += 1 } }

  private func send(_ context: ChannelHandlerContext) {
    while context.channel.isWritable, let rest = left, rest > 0 {
      let count = min(rest, 100_003)
      let bytes = pattern(sent..<sent + count)
      // First: what is written may come back here at once, by a change of writability.
      sent += count
      left = rest - count
      observed.note { $0.sentBytes += count }
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
    }
  }
}

/// Bytes at places of an endless row that shows when one is missing or doubled: its period divides no size of a record.
func pattern(_ range: Range<Int>) -> [UInt8] {
  var bytes: [UInt8] = []
  bytes.reserveCapacity(range.count)
  while bytes.count < range.count {
    let start = (range.lowerBound + bytes.count) % patternPeriod.count
    bytes += patternPeriod[start...].prefix(range.count - bytes.count)
  }
  return bytes
}

private let patternPeriod = (0..<65_521).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
