// The receiving side of a call: takes messages out of the body, inflates them, gives them to the method.
internal import HTTPCore
internal import Status

extension RPCCall: HTTPExchangeDelegate {
  package func exchangeReceivedBody() {
    switch method.handler {
    case .stream: deliverStream()
    case .single: checkSingle()
    }
  }

  package func exchangeReceivedEnd() {
    hasReceivedEnd = true
    switch method.handler {
    case .stream: deliverStream()
    case .single(let body): deliverSingle(body)
    }
  }

  package func exchangeClosed() {
    guard isOpen else { return }
    let cancel = (receiver, onCancel)
    detach()
    cancel.0?.cancelled()
    cancel.1?()
  }

  package func connectionIsDraining() { serverIsDraining() }

  package func exchangeDrained() {
    receiver?.drained()
    resumeDrainWaiter()
  }
}

extension RPCCall {
  private func firstFrame(of exchange: any HTTPExchange) -> MessageFrame.Outcome {
    exchange.body.withBytes { MessageFrame.first(in: $0, maximumMessageBytes: handler.limits.maximumMessageBytes) }
  }

  /// Gives complete messages to the receiver until it pauses or ends the call, or there are no more.
  func deliverStream() {
    guard !isDelivering else { return }
    isDelivering = true
    defer { isDelivering = false }
    while !isPaused, let exchange {
      switch firstFrame(of: exchange) {
      case .message(let range):
        exchange.creditReceivedBytes()
        received.add(range.count)
        exchange.body.withBytes { receiver?.received($0.extracting(range)) }
        if isOpen { exchange.body.removeFirst(range.upperBound) }
      case .compressedMessage(let range):
        exchange.creditReceivedBytes()
        received.add(range.count)
        deliverInflated(range, of: exchange) { [receiver] message in receiver?.received(message) }
        if isOpen { exchange.body.removeFirst(range.upperBound) }
      case .incomplete(let missing):
        exchange.creditReceivedBytes()
        guard hasReceivedEnd, !hasDeliveredEnd else { return }
        hasDeliveredEnd = true
        if exchange.body.count > 0 { return abort(truncated(missing)) }
        receiver?.receivedEnd()
      case let malformed: abort(problem(malformed))
      }
    }
  }

  /// Before the end of the request only what is wrong in the prefix is of interest.
  private func checkSingle() {
    guard let exchange else { return }
    exchange.creditReceivedBytes()
    switch firstFrame(of: exchange) {
    case .message, .compressedMessage, .incomplete: break
    case let malformed: abort(problem(malformed))
    }
  }

  private func deliverSingle(_ method: (Span<UInt8>, RPCCall) -> Void) {
    guard let exchange else { return }
    let body = exchange.body
    let first = body.withBytes {
      MessageFrame.first(in: $0, maximumMessageBytes: handler.limits.maximumMessageBytes)
    }
    switch first {
    case .message(let range) where body.count == range.upperBound:
      received.add(range.count)
      body.withBytes { method($0.extracting(range), self) }
    case .compressedMessage(let range) where body.count == range.upperBound:
      received.add(range.count)
      deliverInflated(range, of: exchange) { method($0, self) }
    case .message, .compressedMessage:
      abort(RPCStatus(.unimplemented, "\(self.method.path) takes one request message; more came"))
    case .incomplete where body.count == 0:
      abort(RPCStatus(.unimplemented, "\(self.method.path) takes one request message; none came"))
    case .incomplete(let missing): abort(truncated(missing))
    case let malformed: abort(problem(malformed))
    }
  }

  /// Gives a compressed message as it was before, or ends the call.
  private func deliverInflated(_ range: Range<Int>, of exchange: any HTTPExchange, _ body: (Span<UInt8>) -> Void) {
    guard requestEncoding != .identity else {
      return abort(RPCStatus(.internal, "a message is flagged as compressed, but the call has no grpc-encoding"))
    }
    do throws(RPCStatus) {
      let message = try exchange.body.withBytes { bytes throws(RPCStatus) in
        try handler.compression.inflated(bytes.extracting(range), requestEncoding,
                                         maximumBytes: handler.limits.maximumMessageBytes)
      }
      isMessageCompressed = true
      defer { isMessageCompressed = false }
      body(message.span)
    } catch {
      abort(error)
    }
  }

  private func truncated(_ missing: Int) -> RPCStatus {
    RPCStatus(.internal, "the request ended \(missing) bytes before the end of a message")
  }

  private func problem(_ outcome: MessageFrame.Outcome) -> RPCStatus {
    switch outcome {
    case .tooLarge(let byteCount):
      RPCStatus(.resourceExhausted, """
        the message has \(byteCount) bytes; the limit is \(handler.limits.maximumMessageBytes): send smaller batches
        """)
    case .invalidFlag(let flag):
      RPCStatus(.internal, "a message begins with byte \(flag) instead of the compressed flag 0 or 1")
    case .message, .compressedMessage, .incomplete: .ok
    }
  }
}
