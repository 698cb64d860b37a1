// What a method may know about its call besides the message, and say besides its response.
package import HTTPCore
package import Status

/// Metadata, peer and deadline of a call.
package struct CallContext: Sendable {
  /// `/package.Service/Method`.
  package let method: String
  /// Request fields, pseudo-header fields included.
  package let metadata: HTTPFields
  /// Address of the peer.
  package let peer: String
  /// When the client stops waiting; nil = never.
  package let deadline: ContinuousClock.Instant?
  /// Whether the request message came compressed; of a stream see `RequestStream.AsyncIterator`.
  package let isMessageCompressed: Bool
  private let call: RPCCall

  init(method: String, metadata: HTTPFields, peer: String, deadline: ContinuousClock.Instant?,
       isMessageCompressed: Bool, call: RPCCall) {
    self.method = method
    self.metadata = metadata
    self.peer = peer
    self.deadline = deadline
    self.isMessageCompressed = isMessageCompressed
    self.call = call
  }

  /// `RPCCall.addInitialMetadata`. Like the others here for the task of the method, which runs on the call's loop.
  package func addInitialMetadata(_ fields: HTTPFields) { call.addInitialMetadata(fields) }

  /// `RPCCall.addTrailingMetadata`.
  package func addTrailingMetadata(_ fields: HTTPFields) { call.addTrailingMetadata(fields) }

  /// `RPCCall.compressMessages`.
  package func compressMessages() { call.compressMessages() }

  /// `RPCCall.checkRoom`.
  package func checkRoom() throws(RPCStatus) { try call.checkRoom() }
}
