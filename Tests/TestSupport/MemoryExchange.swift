// An exchange in memory: what the transport would be told is kept for the test to look at.
package import HTTPCore
import RPC

/// Used on one thread, or on one event loop.
package final class MemoryExchange: HTTPExchange {
  package var head = HTTPRequestHead()
  package var body = HTTPBody()
  package var bufferedByteCount: Int { output.count }
  package let peer = "test"
  /// HTTP/1.1 does not.
  package var carriesTrailers = true

  package private(set) var status: Int?
  package private(set) var fields = HTTPFields()
  package private(set) var trailers: HTTPFields?
  package private(set) var output: [UInt8] = []
  package private(set) var isEnded = false
  private(set) var creditedCount = 0
  private var receivedCount = 0
  package var delegate: (any HTTPExchangeDelegate)?

  package init(path: String, fields: [(String, String)] = [("content-type", "application/grpc")],
               method: String = "POST") {
    head.fields.append(":method", method)
    head.fields.append(":path", path)
    for (name, value) in fields { head.fields.append(name, value) }
  }

  /// The gRPC status, from trailers or from a trailers-only response.
  package var grpcStatus: String? { trailers?["grpc-status"] ?? fields["grpc-status"] }
  package var grpcMessage: String? { trailers?["grpc-message"] ?? fields["grpc-message"] }
  package var uncreditedCount: Int { receivedCount - creditedCount }

  /// The messages of the response.
  package var messages: [[UInt8]] { frames.map(\.message) }
  /// Their compressed flags.
  package var flags: [UInt8] { frames.map(\.flag) }

  private var frames: [(flag: UInt8, message: [UInt8])] {
    var frames: [(flag: UInt8, message: [UInt8])] = []
    var rest = output[...]
    while !rest.isEmpty {
      let bytes = Array(rest)
      switch MessageFrame.first(in: bytes.span, maximumMessageBytes: .max) {
      case .message(let range), .compressedMessage(let range):
        frames.append((bytes[0], Array(bytes[range])))
        rest = rest.dropFirst(range.upperBound)
      default: return frames
      }
    }
    return frames
  }

  // MARK: What the client does

  package func receive(_ bytes: [UInt8]) {
    guard delegate != nil else { return }
    receivedCount += bytes.count
    body.append(bytes.span)
    delegate?.exchangeReceivedBody()
  }

  package func end() { delegate?.exchangeReceivedEnd() }
  package func cancel() { delegate?.exchangeClosed() }

  // MARK: HTTPExchange

  package func respond(status: Int, fields: HTTPFields, isEnd: Bool) {
    self.status = status
    self.fields = fields
    isEnded = isEnd
  }

  package func write(_ append: (inout [UInt8]) -> Void) { append(&output) }

  package func finish(trailers: HTTPFields) {
    self.trailers = trailers
    isEnded = true
  }

  package func reset(_ reason: HTTPResetReason) { isEnded = true }
  package func creditReceivedBytes() { creditedCount = receivedCount }
}

/// A frame around a message.
package func frame(_ message: [UInt8], flag: UInt8 = 0, announcing byteCount: Int? = nil) -> [UInt8] {
  let count = byteCount ?? message.count
  return [flag] + (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * $0)) } + message
}
