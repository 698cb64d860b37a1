// The messages that a streaming method sends.
package import Protobuf
internal import RPC
package import Status

/// Sends messages and waits while the client does not keep up.
package struct ResponseStream<Message: ProtobufMessage>: Sendable {
  /// Bytes a method may be ahead of the client's windows: a few frames. Beyond: `send` waits.
  private static var maximumBufferedBytes: Int { 64 << 10 }

  private let call: RPCCall

  init(_ call: RPCCall) { self.call = call }

  /// - Parameter isPlain: not compressed, although the call compresses its messages.
  /// - Throws: CANCELLED once the client has gone or the deadline has passed.
  package func send(_ message: Message, isPlain: Bool = false) async throws(RPCStatus) {
    call.send(isPlain: isPlain) { message.serialize(into: &$0) }
    while call.isOpen, call.bufferedByteCount > Self.maximumBufferedBytes { await call.drained() }
    guard call.isOpen else { throw RPCStatus(.cancelled, "the client has gone") }
  }
}
