// One call from its head to its status: unframes what comes in, frames what goes out, keeps the deadline.
internal import HTTPCore
package import NIOCore
package import Status

/// A call in progress. Confined to its event loop; a method may keep it and answer later, and an answer that comes
/// after the client has gone is dropped.
package final class RPCCall: @unchecked Sendable {
  // @unchecked because a call crosses to other threads only to be brought back to its loop, which each entry asserts.
  package let method: RPCMethod
  package let eventLoop: any EventLoop
  package let executor: any TaskExecutor
  private unowned let handler: RPCHandler
  private var exchange: (any HTTPExchange)?
  private var receiver: (any RPCMessageReceiver)?
  private var onCancel: (() -> Void)?
  private var drainWaiter: CheckedContinuation<Void, Never>?
  private var deadline: ContinuousClock.Instant?
  private var deadlineTimer: Scheduled<Void>?
  private var hasResponded = false
  private var isPaused = false
  private var isDelivering = false
  private var hasReceivedEnd = false
  private var hasDeliveredEnd = false

  init(method: RPCMethod, exchange: any HTTPExchange, handler: RPCHandler) {
    self.method = method
    self.exchange = exchange
    self.handler = handler
    eventLoop = handler.eventLoop
    executor = handler.executor
  }

  /// False once the call has its status or the client has gone.
  package var isOpen: Bool { exchange != nil }

  /// Bytes sent that the client's windows have not let out yet.
  package var bufferedByteCount: Int { exchange?.bufferedByteCount ?? 0 }

  /// The largest message that the server takes, bytes.
  package var maximumMessageBytes: Int { handler.limits.maximumMessageBytes }

  package var context: CallContext {
    CallContext(method: method.path, metadata: exchange?.head.fields ?? HTTPFields(), peer: exchange?.peer ?? "",
                deadline: deadline)
  }

  // MARK: Answering

  /// Sends one message, which `append` writes in place.
  package func send(_ append: (inout [UInt8]) -> Void) {
    eventLoop.preconditionInEventLoop()
    guard let exchange else { return }
    respondIfNeeded(exchange)
    exchange.write { MessageFrame.append(to: &$0, append) }
  }

  /// Ends the call.
  package func finish(_ status: RPCStatus) {
    eventLoop.preconditionInEventLoop()
    guard let exchange else { return }
    if hasResponded {
      exchange.finish(trailers: handler.statusFields.trailers(status))
    } else if status.code == .ok {
      respondIfNeeded(exchange)
      exchange.finish(trailers: handler.statusFields.trailers(status))
    } else {
      var fields = RPCHandler.responseFields
      handler.statusFields.append(status, to: &fields)
      exchange.respond(status: 200, fields: fields, isEnd: true)
    }
    detach()
  }

  /// One message and OK: the whole answer of a unary call.
  package func respond(_ append: (inout [UInt8]) -> Void) {
    send(append)
    finish(.ok)
  }

  /// Stops giving messages until `resume`: the client's window closes and it waits.
  package func pause() { isPaused = true }

  package func resume() {
    eventLoop.preconditionInEventLoop()
    guard isPaused else { return }
    isPaused = false
    deliverStream()
  }

  /// What to do when the client goes or the deadline passes; for methods that have no receiver.
  package func whenCancelled(_ body: @escaping () -> Void) { onCancel = body }

  /// Returns when what was sent has left, or the call is over. For a method that runs as a task on the call's loop.
  package func drained() async {
    guard isOpen else { return }
    await withCheckedContinuation { continuation in drainWaiter = continuation }
  }

  // MARK: Life

  func start(timeout: Duration?) {
    if let timeout {
      deadline = .now + timeout
      guard timeout > .zero else { return deadlinePassed() }
      deadlineTimer = eventLoop.scheduleTask(in: .nanoseconds(timeout.nanoseconds)) { [weak self] in
        self?.deadlinePassed()
      }
    }
    if case .stream(let makeReceiver) = method.handler {
      let receiver = makeReceiver(self)
      // A method may end its call at once.
      guard isOpen else { return }
      handler.streams[ObjectIdentifier(self)] = self
      self.receiver = receiver
    }
  }

  func serverIsDraining() { receiver?.serverIsDraining() }

  private func deadlinePassed() {
    guard isOpen else { return }
    let cancel = (receiver, onCancel)
    finish(RPCStatus(.deadlineExceeded, "the deadline passed before the call was done"))
    cancel.0?.cancelled()
    cancel.1?()
  }

  private func respondIfNeeded(_ exchange: any HTTPExchange) {
    guard !hasResponded else { return }
    hasResponded = true
    exchange.respond(status: 200, fields: RPCHandler.responseFields, isEnd: false)
  }

  private func resumeDrainWaiter() {
    drainWaiter?.resume()
    drainWaiter = nil
  }

  /// The call is over: nothing reaches the exchange any more, and nothing is kept alive by it.
  private func detach() {
    if receiver != nil { handler.streams[ObjectIdentifier(self)] = nil }
    exchange = nil
    receiver = nil
    onCancel = nil
    resumeDrainWaiter()
    deadlineTimer?.cancel()
    deadlineTimer = nil
  }

  // MARK: Receiving

  private func firstFrame(of exchange: any HTTPExchange) -> MessageFrame.Outcome {
    exchange.body.withBytes { MessageFrame.first(in: $0, maximumMessageBytes: handler.limits.maximumMessageBytes) }
  }

  /// Gives complete messages to the receiver until it pauses or ends the call, or there are no more.
  private func deliverStream() {
    guard !isDelivering else { return }
    isDelivering = true
    defer { isDelivering = false }
    while !isPaused, let exchange {
      switch firstFrame(of: exchange) {
      case .message(let range):
        exchange.creditReceivedBytes()
        exchange.body.withBytes { receiver?.received($0.extracting(range)) }
        if isOpen { exchange.body.removeFirst(range.upperBound) }
      case .incomplete(let missing):
        exchange.creditReceivedBytes()
        guard hasReceivedEnd, !hasDeliveredEnd else { return }
        hasDeliveredEnd = true
        if exchange.body.count > 0 { return finish(truncated(missing)) }
        receiver?.receivedEnd()
      case let malformed: finish(problem(malformed))
      }
    }
  }

  /// Before the end of the request only what is wrong in the prefix is of interest.
  private func checkSingle() {
    guard let exchange else { return }
    exchange.creditReceivedBytes()
    switch firstFrame(of: exchange) {
    case .message, .incomplete: break
    case let malformed: finish(problem(malformed))
    }
  }

  private func deliverSingle(_ body: (Span<UInt8>, RPCCall) -> Void) {
    guard let exchange else { return }
    switch firstFrame(of: exchange) {
    case .message(let range) where exchange.body.count == range.upperBound:
      exchange.body.withBytes { body($0.extracting(range), self) }
    case .message:
      finish(RPCStatus(.unimplemented, "\(method.path) takes one request message; more came"))
    case .incomplete where exchange.body.count == 0:
      finish(RPCStatus(.unimplemented, "\(method.path) takes one request message; none came"))
    case .incomplete(let missing): finish(truncated(missing))
    case let malformed: finish(problem(malformed))
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
    case .compressed:
      RPCStatus(.internal, "a message is flagged as compressed, but the call has no grpc-encoding")
    case .invalidFlag(let flag):
      RPCStatus(.internal, "a message begins with byte \(flag) instead of the compressed flag 0 or 1")
    case .message, .incomplete: .ok
    }
  }
}

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

  package func exchangeDrained() {
    receiver?.drained()
    resumeDrainWaiter()
  }
}

extension Duration {
  /// Whole nanoseconds, at most Int64.max.
  package var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? .max : whole + attoseconds / 1_000_000_000
  }
}
