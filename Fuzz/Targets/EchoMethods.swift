// Methods of every kind for calls that come from a fuzzer: answered at once, later, never, as streams.
import Contracts
import HTTPCore
import Protobuf
import RPC
import RPCMessages
import Status

/// A service that gives back what it gets.
enum EchoMethods {
  static let paths = ["/e.E/Unary", "/e.E/Never", "/e.E/Bytes", "/e.E/Typed", "/e.E/Stream", "/e.E/None"]

  static let router = RPCRouter([
    .unaryBytes(paths[0]) { message, call in
      call.compressMessages()
      let bytes = [UInt8](copying: message)
      call.respond { $0 += bytes }
    },
    // Only the client, a deadline or the end of the connection ends it.
    .unaryBytes(paths[1]) { _, call in call.whenCancelled {} },
    .streamingBytes(paths[2]) { Echo($0) },
    .unary(paths[3]) { (request: ESPV1.IngestRequest, context) async throws(RPCStatus) -> ESPV1.IngestRequest in
      _ = try context.metadata.binaryValues(of: "x-bin")
      context.addInitialMetadata(HTTPFields([("x-initial", "1")]))
      context.addTrailingMetadata(HTTPFields([("x-trailing", "2")]))
      return request
    },
    .bidirectional(paths[4]) { (requests: RequestStream<ESPV1.IngestStreamRequest>,
                                responses: ResponseStream<ESPV1.IngestStreamRequest>, _) async throws(RPCStatus) in
      for try await request in requests { try await responses.send(request) }
    },
  ])

  static let statusFields = StatusFields(encodeDetails: StatusDetails.encode)
}

/// Sends each message back; one that begins with 1 pauses the call until there is room, one with 2 ends it.
private final class Echo: RPCMessageReceiver {
  private let call: RPCCall

  init(_ call: RPCCall) { self.call = call }

  func received(_ message: Span<UInt8>) {
    let bytes = [UInt8](copying: message)
    if bytes.first == 1 { call.pause() }
    if bytes.first == 2 { return call.finish(RPCStatus(.aborted, "the message says so: \u{7F}%")) }
    call.send { $0 += bytes }
  }

  func receivedEnd() { call.finish(.ok) }
  func cancelled() { call.finish(RPCStatus(.cancelled, "nobody hears this")) }
  func drained() { call.resume() }
  func serverIsDraining() { call.finish(RPCStatus(.unavailable, "the server is going away")) }
}
