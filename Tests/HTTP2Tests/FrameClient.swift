// An HTTP/2 client that writes and reads frames by hand: the server is judged by bytes, not by its own library.
import NIOCore
import NIOPosix

/// A frame of RFC 9113 4.1.
struct Frame: Equatable {
  enum Kind: UInt8 {
    case data, headers, priority, reset, settings, pushPromise, ping, goAway, windowUpdate, continuation
  }

  var kind: Kind
  var flags: UInt8 = 0
  var stream: UInt32 = 0
  var payload: [UInt8] = []

  static let endStream: UInt8 = 1
  static let ack: UInt8 = 1
  static let endHeaders: UInt8 = 4

  var bytes: [UInt8] {
    let count = payload.count
    return [UInt8(count >> 16), UInt8(count >> 8 & 255), UInt8(count & 255), kind.rawValue, flags]
      + (0..<4).map { UInt8(truncatingIfNeeded: stream >> (24 - 8 * UInt32($0))) } + payload
  }

  /// The four bytes at `offset` of the payload.
  func number(at offset: Int = 0) -> UInt32 {
    payload[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) } & 0x7FFF_FFFF
  }
}

/// One connection. Use within one task.
final class FrameClient {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  private let channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>
  private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
  private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
  private var buffer: [UInt8] = []

  private init(_ channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>, _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>,
               _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>) {
    self.channel = channel
    self.inbound = inbound.makeAsyncIterator()
    self.outbound = outbound
  }

  /// Connects, and closes when `body` returns.
  static func with(_ address: SocketAddress, _ body: (FrameClient) async throws -> Void) async throws {
    let bootstrap = ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
    let channel = try await bootstrap.connect(to: address) { channel in
      channel.eventLoop.makeCompletedFuture {
        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
      }
    }
    var isDone = false
    do {
      try await channel.executeThenClose { inbound, outbound in
        try await body(FrameClient(channel, inbound, outbound))
        isDone = true
      }
    } catch ChannelError.ioOnClosedChannel where isDone {
      // The server was first to close: on a busy machine its end is seen while ours is under way.
      return
    }
  }

  /// Preface and empty SETTINGS; the server's SETTINGS are acknowledged.
  func greet(settings: [UInt8] = []) async throws {
    // One write: a server that refuses the connection closes it soon.
    try await send(Self.preface + Frame(kind: .settings, payload: settings).bytes
      + Frame(kind: .settings, flags: Frame.ack).bytes)
  }

  func send(_ bytes: [UInt8]) async throws { try await outbound.write(ByteBuffer(bytes: bytes)) }
  func send(_ frame: Frame) async throws { try await send(frame.bytes) }

  /// Opens a stream with these fields, each as a literal without indexing (RFC 7541 6.2.2).
  func request(_ stream: UInt32, _ fields: [(String, String)] = [], path: String = "/echo",
               isEnd: Bool = false) async throws {
    try await send(Self.requestBytes(stream, fields, path: path, isEnd: isEnd))
  }

  static func requestBytes(_ stream: UInt32, _ fields: [(String, String)] = [], path: String = "/echo",
                           isEnd: Bool = false) -> [UInt8] {
    let all = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test")] + fields
    return Frame(kind: .headers, flags: Frame.endHeaders | (isEnd ? Frame.endStream : 0), stream: stream,
                 payload: all.flatMap { literal($0.0, $0.1) }).bytes
  }

  /// The next frame; nil when the server has closed.
  func next() async throws -> Frame? {
    while true {
      if let frame = takeFrame() { return frame }
      do {
        guard let more = try await inbound.next() else { return nil }
        buffer += Array(more.readableBytesView)
      } catch where error is IOError || error as? ChannelError == .ioOnClosedChannel {
        return nil
      }
    }
  }

  /// The next frame of a kind, others passed over.
  func next(_ kind: Frame.Kind, stream: UInt32? = nil) async throws -> Frame? {
    while let frame = try await next() {
      if frame.kind == kind, stream == nil || frame.stream == stream { return frame }
    }
    return nil
  }

  private func takeFrame() -> Frame? {
    guard buffer.count >= 9 else { return nil }
    let count = Int(buffer[0]) << 16 | Int(buffer[1]) << 8 | Int(buffer[2])
    guard buffer.count >= 9 + count, let kind = Frame.Kind(rawValue: buffer[3]) else { return nil }
    let stream = buffer[5..<9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    let frame = Frame(kind: kind, flags: buffer[4], stream: stream, payload: Array(buffer[9..<9 + count]))
    buffer.removeFirst(9 + count)
    return frame
  }

  static func literal(_ name: String, _ value: String) -> [UInt8] {
    [0] + length(name.utf8.count) + Array(name.utf8) + length(value.utf8.count) + Array(value.utf8)
  }

  /// A string's length: an integer with a prefix of seven bits (RFC 7541 5.1), no Huffman.
  private static func length(_ count: Int) -> [UInt8] {
    guard count >= 127 else { return [UInt8(count)] }
    var bytes: [UInt8] = [127]
    var rest = count - 127
    while rest >= 128 {
      bytes.append(UInt8(rest & 127) | 128)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }
}
