// One method of a service: its path and what it does with a call.

/// A method as the router knows it. Generated code makes these from the services' protocols. A class, so that a call
/// holds it for one reference count.
package final class RPCMethod: Sendable {
  /// How a method takes its request.
  package enum Handler: Sendable {
    /// One message, given when it is complete; the method answers now or later, through the call.
    case single(@Sendable (_ message: Span<UInt8>, _ call: RPCCall) -> Void)
    /// Any number of messages, given one by one to a receiver made for the call.
    case stream(@Sendable (_ call: RPCCall) -> any RPCMessageReceiver)
  }

  /// `/package.Service/Method`.
  package let path: String
  package let handler: Handler
  /// Its calls may be long: they stand in `CallRegistry`, are told of a drain, and can be ended there.
  package let isListed: Bool

  /// - Parameter streamsResponses: a call of one request message may be as long as a stream.
  package init(path: String, handler: Handler, streamsResponses: Bool = false) {
    self.path = path
    self.handler = handler
    isListed = if case .stream = handler { true } else { streamsResponses }
  }

  package static func unaryBytes(_ path: String,
                                 _ body: @escaping @Sendable (Span<UInt8>, RPCCall) -> Void) -> RPCMethod {
    RPCMethod(path: path, handler: .single(body))
  }

  package static func streamingBytes(_ path: String,
                                     _ body: @escaping @Sendable (RPCCall) -> any RPCMessageReceiver) -> RPCMethod {
    RPCMethod(path: path, handler: .stream(body))
  }
}

/// Takes the messages of one streaming call. All calls come on the call's event loop, never after `cancelled`.
package protocol RPCMessageReceiver: AnyObject {
  /// The next message; valid only during the call.
  func received(_ message: Span<UInt8>)
  /// The client will send no more.
  func receivedEnd()
  /// The call is over before the method ended it: reset by the client, connection lost, deadline passed, or bytes that
  /// are no gRPC message.
  func cancelled()
  /// What was sent has left; there is room for more.
  func drained()
  /// The server is going away: end the call soon, in its own words.
  func serverIsDraining()
}

extension RPCMessageReceiver {
  package func drained() {}
  package func serverIsDraining() {}
}
