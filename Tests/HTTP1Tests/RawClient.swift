// An HTTP/1.1 client that writes bytes by hand and reads responses by its own few lines: the server is judged by bytes.
import NIOCore
import NIOPosix

/// A response as it came.
struct Response: Equatable {
  var status = 0
  var fields: [String: String] = [:]
  var body = ""
  var trailers: [String: String] = [:]
  /// How the end of the body was found.
  var isChunked = false
}

/// What came is no response.
struct MalformedResponse: Error {
  let text: String
}

/// One connection. Use within one task.
final class RawClient {
  private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
  /// For a task of its own that sends while this one reads.
  let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
  private var buffer: [UInt8] = []

  private init(_ inbound: NIOAsyncChannelInboundStream<ByteBuffer>,
               _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>) {
    self.inbound = inbound.makeAsyncIterator()
    self.outbound = outbound
  }

  /// Connects, and closes when `body` returns.
  static func with(_ address: SocketAddress, _ body: (RawClient) async throws -> Void) async throws {
    let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup).connect(to: address) {
      channel in
      channel.eventLoop.makeCompletedFuture {
        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
      }
    }
    try await channel.executeThenClose { inbound, outbound in try await body(RawClient(inbound, outbound)) }
  }

  func send(_ text: String) async throws { try await send(Array(text.utf8)) }
  func send(_ bytes: [UInt8]) async throws { try await outbound.write(ByteBuffer(bytes: bytes)) }

  /// Sends what the server may refuse before it has it all.
  static func offer(_ bytes: [UInt8],
                    to outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>) async throws {
    do {
      try await outbound.write(ByteBuffer(bytes: bytes))
    } catch where error is ChannelError || error is IOError {
      return
    }
  }

  /// The next response.
  func response(isHead: Bool = false) async throws -> Response {
    var response = Response()
    let statusLine = try await line()
    let words = statusLine.split(separator: " ", maxSplits: 2)
    guard words.first == "HTTP/1.1", words.count > 1, let status = Int(words[1]) else {
      throw MalformedResponse(text: statusLine)
    }
    response.status = status
    response.fields = try await fields()
    response.isChunked = response.fields["transfer-encoding"] == "chunked"
    if isHead || status == 204 || status == 100 { return response }
    if response.isChunked {
      while let size = Int(try await line(), radix: 16), size > 0 {
        response.body += try await text(size)
        _ = try await line()
      }
      response.trailers = try await fields()
    } else if let length = response.fields["content-length"].flatMap({ Int($0) }) {
      response.body = try await text(length)
    } else {
      response.body = try await rest()
    }
    return response
  }

  /// All that comes until the server closes.
  func rest() async throws -> String {
    while try await readMore() {}
    defer { buffer = [] }
    return String(decoding: buffer, as: UTF8.self)
  }

  func bytes(_ count: Int) async throws -> [UInt8] {
    while buffer.count < count {
      guard try await readMore() else { throw MalformedResponse(text: "closed after \(buffer.count) bytes") }
    }
    defer { buffer.removeFirst(count) }
    return Array(buffer[..<count])
  }

  private func line() async throws -> String {
    while true {
      if let end = buffer.firstIndex(of: 10) {
        defer { buffer.removeSubrange(...end) }
        guard end > 0, buffer[end - 1] == 13 else { throw MalformedResponse(text: "a bare LF") }
        return String(decoding: buffer[..<(end - 1)], as: UTF8.self)
      }
      guard try await readMore() else { throw MalformedResponse(text: "closed within a line") }
    }
  }

  private func fields() async throws -> [String: String] {
    var fields: [String: String] = [:]
    while case let line = try await line(), !line.isEmpty {
      guard let colon = line.firstIndex(of: ":") else { throw MalformedResponse(text: line) }
      fields[String(line[..<colon])] = line[line.index(after: colon)...].drop { $0 == " " }.description
    }
    return fields
  }

  private func text(_ count: Int) async throws -> String {
    String(decoding: try await bytes(count), as: UTF8.self)
  }

  private func readMore() async throws -> Bool {
    do {
      guard let more = try await inbound.next() else { return false }
      buffer += Array(more.readableBytesView)
      return true
    } catch is IOError {
      return false
    }
  }
}
