// What a method may know about its call besides the message.
package import HTTPCore

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

  package init(method: String, metadata: HTTPFields, peer: String, deadline: ContinuousClock.Instant?) {
    self.method = method
    self.metadata = metadata
    self.peer = peer
    self.deadline = deadline
  }
}
