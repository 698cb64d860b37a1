// A server connection in memory, with calls of every kind behind it, for bytes that a fuzzer makes.
import HTTP2
import HTTPCore
import Logging
import NIOCore
import NIOEmbedded
import RPC

/// Bytes go in, time passes, the client stops and begins to read: all on the caller's thread.
final class FuzzConnection {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
  static let settings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]

  private let channel = EmbeddedChannel()
  private let watch: WatchedHandler
  private let rpc: RPCHandler
  private let connection: HTTP2Connection
  private var output: [UInt8] = []
  private var now = ContinuousClock.now

  init() throws(FuzzFinding) {
    var logger = Logger(label: "fuzz")
    logger.logLevel = .critical
    var limits = HTTP2Limits()
    // Small, so that a short input meets them.
    limits.maximumConcurrentStreams = 8
    limits.maximumRunningExchanges = 6
    limits.streamWindowBytes = 4096
    limits.streamBufferBytes = 512
    limits.maximumHeaderListBytes = 1024
    rpc = RPCHandler(eventLoop: channel.embeddedEventLoop, router: EchoMethods.router,
                     statusFields: EchoMethods.statusFields)
    watch = WatchedHandler(rpc)
    do {
      connection = try HTTP2Connection(on: channel, limits: limits, handler: watch, logger: logger)
      try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    } catch {
      throw FuzzFinding("a connection does not begin: \(error)")
    }
  }

  var isActive: Bool { channel.isActive }

  /// The heads that have been accepted since it was last asked, in order.
  func takeHeads() -> [HTTPFields] {
    defer { watch.heads.removeAll(keepingCapacity: true) }
    return watch.heads
  }

  /// One read of the socket.
  func receive(_ bytes: [UInt8]) throws(FuzzFinding) {
    guard channel.isActive, !bytes.isEmpty else { return }
    channel.pipeline.fireChannelRead(ByteBuffer(bytes: bytes))
    channel.pipeline.fireChannelReadComplete()
    try turn()
  }

  func setWritable(_ isWritable: Bool) throws(FuzzFinding) {
    channel.isWritable = isWritable
    channel.pipeline.fireChannelWritabilityChanged()
    try turn()
  }

  /// Deadlines pass, and the connection is looked at as a server does once a second.
  func pass(seconds: Int64) throws(FuzzFinding) {
    channel.embeddedEventLoop.advanceTime(by: .seconds(seconds))
    now += .seconds(seconds)
    connection.check(at: now)
    try turn()
  }

  func drain() throws(FuzzFinding) {
    rpc.drain()
    connection.drain()
    try turn()
  }

  /// The peer is gone: every exchange must have heard of its end, and what was sent must be whole frames.
  func end() throws(FuzzFinding) {
    channel.isWritable = true
    // Closed already is as good.
    _ = try? channel.finish(acceptAlreadyClosed: true)
    try turn()
    try FuzzFinding.require(watch.openCount == 0, "\(watch.openCount) exchanges never hear of their end")
    try checkFrames()
  }

  private func turn() throws(FuzzFinding) {
    channel.embeddedEventLoop.run()
    while true {
      // Throws only when something else than bytes was written.
      guard let buffer = try? channel.readOutbound(as: ByteBuffer.self) else { break }
      output += buffer.readableBytesView
    }
    if let finding = watch.finding { throw finding }
  }

  /// RFC 9113 4.1: nine bytes of head, then as many as it says, at most 16,384 while the peer has not asked for more.
  private func checkFrames() throws(FuzzFinding) {
    var rest = output[...]
    while rest.count >= 9 {
      let head = Array(rest.prefix(9))
      let byteCount = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
      try FuzzFinding.require(head[3] <= 9, "a frame of type \(head[3]) was sent")
      try FuzzFinding.require(rest.count >= 9 + byteCount, "a frame was cut off")
      rest = rest.dropFirst(9 + byteCount)
    }
    try FuzzFinding.require(rest.isEmpty, "\(rest.count) bytes behind the last frame")
  }
}
