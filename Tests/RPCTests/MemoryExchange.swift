// An exchange in memory: what the transport would be told is kept for the test to look at.
import HTTPCore
import NIOCore
import NIOEmbedded
import RPC
import Status

final class MemoryExchange: HTTPExchange {
  var head = HTTPRequestHead()
  var body = HTTPBody()
  var bufferedByteCount: Int { output.count - readByClient }
  let peer = "test"

  private(set) var status: Int?
  private(set) var fields = HTTPFields()
  private(set) var trailers: HTTPFields?
  private(set) var output: [UInt8] = []
  private(set) var isEnded = false
  private(set) var wasReset = false
  private(set) var creditedCount = 0
  private var receivedCount = 0
  var readByClient = 0
  var delegate: (any HTTPExchangeDelegate)?

  init(path: String, fields: [(String, String)] = [("content-type", "application/grpc")], method: String = "POST") {
    head.fields.append(":method", method)
    head.fields.append(":path", path)
    for (name, value) in fields { head.fields.append(name, value) }
  }

  /// The gRPC status, from trailers or from a trailers-only response.
  var grpcStatus: String? { trailers?["grpc-status"] ?? fields["grpc-status"] }
  var grpcMessage: String? { trailers?["grpc-message"] ?? fields["grpc-message"] }
  var uncreditedCount: Int { receivedCount - creditedCount }

  /// The messages of the response.
  var messages: [[UInt8]] {
    var messages: [[UInt8]] = []
    var rest = output[...]
    while !rest.isEmpty {
      let bytes = Array(rest)
      guard case .message(let range) = MessageFrame.first(in: bytes.span, maximumMessageBytes: .max) else { break }
      messages.append(Array(bytes[range]))
      rest = rest.dropFirst(range.upperBound)
    }
    return messages
  }

  // MARK: What the client does

  func receive(_ bytes: [UInt8]) {
    guard delegate != nil else { return }
    receivedCount += bytes.count
    body.append(bytes.span)
    delegate?.exchangeReceivedBody()
  }

  func end() { delegate?.exchangeReceivedEnd() }
  func cancel() { delegate?.exchangeClosed() }

  // MARK: HTTPExchange

  func respond(status: Int, fields: HTTPFields, isEnd: Bool) {
    self.status = status
    self.fields = fields
    isEnded = isEnd
  }

  func write(_ append: (inout [UInt8]) -> Void) { append(&output) }

  func finish(trailers: HTTPFields) {
    self.trailers = trailers
    isEnded = true
  }

  func reset(_ reason: HTTPResetReason) { wasReset = true }
  func creditReceivedBytes() { creditedCount = receivedCount }
}

/// A frame around a message.
func frame(_ message: [UInt8], flag: UInt8 = 0, announcing byteCount: Int? = nil) -> [UInt8] {
  let count = byteCount ?? message.count
  return [flag] + (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * $0)) } + message
}
