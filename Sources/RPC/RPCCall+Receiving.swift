// The receiving side of a call: takes messages out of the body, inflates them, gives them to the method.
internal import HTTPCore
internal import Status

extension RPCCall: HTTPExchangeDelegate {
  package func exchangeReceivedBody() {
    switch method.handler {
    case .stream:
      // Also of a call that is paused: a message that has been given room is finished.
      if grantedBytes > 0, let exchange { credit(upTo: min(exchange.body.count, grantedBytes), of: exchange) }
      deliverStream()
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

  /// Gives complete messages to the receiver until it pauses or ends the call, or there are no more. While the byte
  /// budget makes streams wait nothing is given, and no window opens.
  func deliverStream() {
    guard !isDelivering else { return }
    isDelivering = true
    defer { isDelivering = false }
    while !isPaused, let exchange {
      switch firstFrame(of: exchange) {
      case .message(let range):
        guard hasRoomForDelivery() else { return }
        received.add(range.count)
        exchange.body.withBytes { receiver?.received($0.extracting(range)) }
        if isOpen { consume(range.upperBound, of: exchange) }
      case .compressedMessage(let range):
        guard hasRoomForDelivery() else { return }
        received.add(range.count)
        deliverInflated(range, of: exchange) { [receiver] message in receiver?.received(message) }
        if isOpen { consume(range.upperBound, of: exchange) }
      case .incomplete(let missing):
        guard hasReceivedEnd, !hasDeliveredEnd else { return awaitMessage(exchange.body.count + missing, of: exchange) }
        hasDeliveredEnd = true
        if exchange.body.count > 0 { return abort(truncated(missing)) }
        receiver?.receivedEnd()
      case let malformed: abort(problem(malformed))
      }
    }
  }

  /// Before the end of the request only what is wrong in the prefix is of interest, and whether there is room.
  private func checkSingle() {
    guard let exchange else { return }
    let byteCount = exchange.body.count
    switch firstFrame(of: exchange) {
    case .message(let range), .compressedMessage(let range):
      if byteCount > range.upperBound { abort(tooMany) }
    case .incomplete:
      // Nothing came: a grant of no bytes would never be taken back.
      guard byteCount > grantedBytes else { return }
      guard memory.grantPart(byteCount - grantedBytes, to: self) else {
        return abort(memory.refusal(.windows))
      }
      grantedBytes = byteCount
      credit(upTo: byteCount, of: exchange)
    case let malformed: abort(problem(malformed))
    }
  }

  private func deliverSingle(_ method: (Span<UInt8>, RPCCall) -> Void) {
    guard let exchange else { return }
    // Again: what came before it in the same turn may have taken all there is, many times its size on the wire.
    if memory.budget.isExhausted { return abort(memory.refusal(.held)) }
    let body = exchange.body
    let first = body.withBytes {
      MessageFrame.first(in: $0, maximumMessageBytes: handler.limits.maximumMessageBytes)
    }
    switch first {
    case .message(let range) where body.count == range.upperBound:
      received.add(range.count)
      body.withBytes { method($0.extracting(range), self) }
      consume(range.upperBound, of: exchange)
    case .compressedMessage(let range) where body.count == range.upperBound:
      received.add(range.count)
      deliverInflated(range, of: exchange) { method($0, self) }
      consume(range.upperBound, of: exchange)
    case .message, .compressedMessage: abort(tooMany)
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

  private var tooMany: RPCStatus {
    RPCStatus(.unimplemented, "\(method.path) takes one request message; more came")
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

// MARK: - Memory

extension RPCCall {
  /// Part of a streamed message is here. The window opens for the rest once all of it has room.
  private func awaitMessage(_ byteCount: Int, of exchange: any HTTPExchange) {
    // Less than a prefix: its length is not known, and its few bytes fit into any window.
    guard exchange.body.count >= MessageFrame.prefixByteCount else { return }
    if grantedBytes == 0 {
      guard need != .message else { return }
      guard memory.grantWhole(byteCount, to: self) else { return wait(for: .message) }
      grantedBytes = byteCount
    }
    credit(upTo: exchange.body.count, of: exchange)
  }

  private func hasRoomForDelivery() -> Bool {
    guard memory.budget.mustStreamsWait else { return true }
    wait(for: .delivery)
    return false
  }

  private func wait(for need: CallMemory.Need) {
    guard self.need != need else { return }
    stopWaiting()
    self.need = need
    memory.wait(self, for: need)
  }

  private func stopWaiting() {
    if need != nil { memory.forget(self) }
    need = nil
  }

  /// A message has been given room and is not all here.
  var isMessageOnItsWay: Bool {
    guard grantedBytes > 0, let exchange else { return false }
    if case .single = method.handler { return true }
    return exchange.body.count < grantedBytes
  }

  /// Opens the window by what of the first message it has not been opened by.
  private func credit(upTo byteCount: Int, of exchange: any HTTPExchange) {
    guard byteCount > creditedBytes else { return }
    exchange.credit(byteCount - creditedBytes)
    creditedBytes = byteCount
  }

  /// The first message has been taken.
  private func consume(_ byteCount: Int, of exchange: any HTTPExchange) {
    exchange.body.removeFirst(byteCount)
    credit(upTo: byteCount, of: exchange)
    settleMessage()
  }

  /// What was counted for the message on its way is given back, and it waits for nothing.
  func settleMessage() {
    creditedBytes = 0
    if grantedBytes > 0 { memory.takeBack(grantedBytes, from: self) }
    grantedBytes = 0
    stopWaiting()
  }

  /// There may be room again.
  func roomCame() {
    need = nil
    deliverStream()
  }
}
