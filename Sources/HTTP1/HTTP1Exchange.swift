// One request of a connection and its response. Decides nothing about the connection; HTTP1Handler does.
internal import HTTPCore
internal import NIOCore

/// The state of one exchange and its side of `HTTPExchange`. Lives on its connection's loop, as long as it is answered.
final class HTTP1Exchange: HTTPExchange {
  /// How the client finds the end of the body.
  private enum Framing {
    case none
    case chunked
    /// So many bytes are still to come.
    case length(Int)
    /// HTTP/1.0, when the length is not known.
    case untilClose
  }

  unowned let connection: HTTP1Handler
  let request: HTTP1Request
  let head: HTTPCore.HTTPRequestHead
  var body = HTTPBody()
  var delegate: (any HTTPExchangeDelegate)?
  /// Received bytes that nobody has consumed yet.
  private(set) var uncreditedBytes = 0
  var hasReceivedEnd = false
  /// The connection can serve another request behind this one.
  var keepsAlive: Bool
  private(set) var isFinished = false
  /// The client has gone, or has its answer: nothing more can be sent.
  var isClosed = false

  private var response: (status: Int, fields: HTTPFields)?
  private var isHeadSent = false
  private var isEndSent = false
  private var framing = Framing.none
  private var outbound: [UInt8] = []
  private var trailers = HTTPFields()

  init(_ request: HTTP1Request, connection: HTTP1Handler) {
    self.request = request
    self.connection = connection
    head = request.head
    peer = connection.peer
    tlsPeer = connection.tlsPeer
    keepsAlive = request.keepsAlive
  }

  // MARK: HTTPExchange

  var bufferedByteCount: Int { outbound.count }
  let peer: String
  let tlsPeer: TLSPeer?
  var carriesTrailers: Bool { false }

  func respond(status: Int, fields: HTTPFields, isEnd: Bool) {
    guard !isClosed else { return }
    precondition(response == nil, "a response has one head")
    response = (status, fields)
    isFinished = isEnd
    connection.scheduleFlush()
  }

  func write(_ append: (inout [UInt8]) -> Void) {
    guard !isClosed else { return }
    precondition(response != nil && !isFinished, "body bytes come between head and end")
    append(&outbound)
    connection.scheduleFlush()
  }

  func finish(trailers: HTTPFields) {
    guard !isClosed else { return }
    precondition(response != nil && !isFinished, "a response ends once")
    self.trailers = trailers
    isFinished = true
    connection.scheduleFlush()
  }

  /// HTTP/1.1 has no word for it: an answer that has not begun becomes an error, one that has is cut.
  func reset(_ reason: HTTPResetReason) {
    guard !isClosed else { return }
    guard response == nil, reason != .cancelled else { return connection.close() }
    keepsAlive = false
    respond(status: reason == .refused ? 503 : 500, fields: HTTPFields(), isEnd: true)
  }

  func creditReceivedBytes() {
    // Who answers may outlive the connection.
    guard !isClosed else { return }
    uncreditedBytes = 0
    connection.updateReading()
  }

  // MARK: What the connection does

  var hasResponded: Bool { response != nil }
  /// Something is there that `encode` has not taken.
  var hasOutput: Bool { hasResponded && !isHeadSent || !outbound.isEmpty || isFinished && !isEndSent }
  /// The rest of the request is short enough to be read and dropped.
  var discardsRest: Bool {
    guard let count = request.bodyByteCount else { return false }
    return count <= connection.limits.discardedBytes && !request.expectsContinue
  }

  func receive(_ bytes: ByteBuffer) {
    // Answered already: what still comes is dropped.
    guard !isFinished, let delegate else { return }
    body.append(bytes.readableBytesUInt8Span)
    uncreditedBytes += bytes.readableBytes
    delegate.exchangeReceivedBody()
  }

  func receiveEnd() {
    hasReceivedEnd = true
    if !isFinished { delegate?.exchangeReceivedEnd() }
  }

  /// Moves what was answered so far into `output`.
  /// - Returns: false when the response broke its own word about its length: the connection must not go on.
  func encode(into output: inout ByteBuffer) -> Bool {
    guard let response else { return true }
    if !isHeadSent {
      isHeadSent = true
      // What is left of the request would be taken for the next one.
      if isFinished, !hasReceivedEnd, !discardsRest { keepsAlive = false }
      encodeHead(response.status, response.fields, into: &output)
    }
    encodeBody(into: &output)
    guard isFinished, !isEndSent else { return true }
    isEndSent = true
    switch framing {
    case .chunked:
      output.writeStaticString("0\r\n")
      // RFC 9110 6.5.1: only who asked for trailers gets them.
      if request.takesTrailers { HTTP1Response.append(trailers, to: &output) }
      output.writeStaticString("\r\n")
    case .length(let missing): return missing == 0
    case .none, .untilClose: break
    }
    return true
  }

  private func encodeHead(_ status: Int, _ fields: HTTPFields, into output: inout ByteBuffer) {
    HTTP1Response.appendStatusLine(status, to: &output)
    HTTP1Response.append(fields, to: &output)
    let isBodyless = request.wantsHeadOnly || status == 204 || status == 304
    if isBodyless {
      framing = .none
    } else if let text = fields["content-length"] {
      guard let count = Int(text) else { preconditionFailure("content-length is a number, not \(text)") }
      framing = .length(count)
    } else if isFinished, trailers.count == 0 || !request.takesTrailers {
      framing = .length(outbound.count)
      HTTP1Response.append("content-length", "\(outbound.count)", to: &output)
    } else if request.isHTTP10 {
      framing = .untilClose
      keepsAlive = false
    } else {
      framing = .chunked
      HTTP1Response.append("transfer-encoding", "chunked", to: &output)
    }
    if !keepsAlive {
      HTTP1Response.append("connection", "close", to: &output)
    } else if request.isHTTP10 {
      HTTP1Response.append("connection", "keep-alive", to: &output)
    }
    output.writeStaticString("\r\n")
  }

  private func encodeBody(into output: inout ByteBuffer) {
    guard !outbound.isEmpty else { return }
    switch framing {
    case .none: break
    case .chunked: HTTP1Response.appendChunk(outbound, to: &output)
    case .untilClose: output.writeBytes(outbound)
    case .length(let missing):
      precondition(outbound.count <= missing, "a response is longer than its content-length")
      output.writeBytes(outbound)
      framing = .length(missing - outbound.count)
    }
    outbound.removeAll(keepingCapacity: outbound.capacity <= 65_536)
  }
}
