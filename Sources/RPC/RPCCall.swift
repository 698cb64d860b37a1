// One call from its head to its status: frames what goes out, keeps the deadline (RPCCall+Receiving: what comes in).
package import HTTPCore
package import NIOCore
package import Status

/// A call in progress. Confined to its event loop; a method may keep it and answer later, and an answer that comes
/// after the client has gone is dropped.
package final class RPCCall: @unchecked Sendable {
  // @unchecked because a call crosses to other threads only to be brought back to its loop, which each entry asserts.
  private let route: RPCRoute
  let handler: RPCHandler
  /// Outlives the handler as long as the call does: a method may end after its server.
  let memory: CallMemory
  private(set) var exchange: (any HTTPExchange)?
  /// Takes the messages of a call that streams them; nil for others, and once the call is over.
  package private(set) var receiver: (any RPCMessageReceiver)?
  private(set) var onCancel: (() -> Void)?
  private var hasResponded = false
  /// Of a listed call its place in `CallTable`, never given again in this process; 0 for others.
  package private(set) var id: UInt64 = 0
  /// When a listed call began.
  package private(set) var begin: ContinuousClock.Instant?
  /// Messages that the method sent, and their bytes as they leave, without prefixes.
  package private(set) var sent = MessageCount()
  /// nil = nothing of it, as with nearly every call.
  private var extras: Extras?
  private var responseEncoding = MessageEncoding.identity

  // The state of RPCCall+Receiving.
  /// Messages that the method was given, and their bytes as they came, without prefixes.
  package internal(set) var received = MessageCount()
  package internal(set) var isPaused = false
  /// Counted for the message that is on its way, and how many bytes of it the client's window has been opened for.
  var grantedBytes = 0
  var creditedBytes = 0
  /// What it waits for, if for room.
  var need: CallMemory.Need?
  var isDelivering = false
  var hasReceivedEnd = false
  var hasDeliveredEnd = false
  /// Whether the message that is being given came compressed.
  package internal(set) var isMessageCompressed = false

  /// What few calls have, apart: it is not made and let go with each of the others.
  private final class Extras {
    var drainWaiter: CheckedContinuation<Void, Never>?
    var deadline: ContinuousClock.Instant?
    var deadlineTimer: Scheduled<Void>?
    var initialMetadata: HTTPFields?
    var trailingMetadata: HTTPFields?
  }

  private func makeExtras() -> Extras {
    let extras = extras ?? Extras()
    self.extras = extras
    return extras
  }

  init(route: RPCRoute, exchange: any HTTPExchange, handler: RPCHandler) {
    self.route = route
    self.exchange = exchange
    self.handler = handler
    memory = handler.memory
  }

  package var method: RPCMethod { route.method }
  var requestEncoding: MessageEncoding { route.encoding }

  package var eventLoop: any EventLoop { handler.eventLoop }
  package var executor: any TaskExecutor { handler.executor }

  /// False once the call has its status or the client has gone.
  package var isOpen: Bool { exchange != nil }

  /// Bytes sent that the client's windows have not let out yet.
  package var bufferedByteCount: Int { exchange?.bufferedByteCount ?? 0 }

  /// What the windows of the call and of its connection let through now; nil where there are none.
  package var windows: HTTPWindows? { exchange?.windows }

  /// The client's verified certificate; nil when it showed none.
  package var certificate: TLSPeerCertificate? { exchange?.tlsPeer?.certificate }

  /// The largest message that the server takes, bytes.
  package var maximumMessageBytes: Int { handler.limits.maximumMessageBytes }

  package var context: CallContext {
    CallContext(method: method.path, metadata: exchange?.head.fields ?? HTTPFields(), peer: exchange?.peer ?? "",
                deadline: extras?.deadline, isMessageCompressed: isMessageCompressed, call: self)
  }

  // MARK: Answering

  /// Adds metadata to the head of the response. The first message, or the end, sends the head: metadata that comes
  /// later is a mistake of the method.
  package func addInitialMetadata(_ fields: HTTPFields) {
    eventLoop.preconditionInEventLoop()
    precondition(fields.areMetadata, "names that belong to HTTP or gRPC are no metadata: \(fields)")
    guard isOpen else { return }
    precondition(!hasResponded, "initial metadata comes before the first message")
    let extras = makeExtras()
    extras.initialMetadata = (extras.initialMetadata ?? HTTPFields()).appending(fields)
  }

  /// Adds metadata to what ends the response, beside its status.
  package func addTrailingMetadata(_ fields: HTTPFields) {
    eventLoop.preconditionInEventLoop()
    precondition(fields.areMetadata, "names that belong to HTTP or gRPC are no metadata: \(fields)")
    let extras = makeExtras()
    extras.trailingMetadata = (extras.trailingMetadata ?? HTTPFields()).appending(fields)
  }

  /// Compresses the messages of the response, if the client takes one of our encodings. Before the first message.
  package func compressMessages() {
    eventLoop.preconditionInEventLoop()
    guard let exchange else { return }
    precondition(!hasResponded, "the encoding is announced before the first message")
    responseEncoding = .best(accepted: exchange.head.fields.values(of: "grpc-accept-encoding"))
  }

  /// Sends one message, which `append` writes in place.
  /// - Parameter isPlain: not compressed, although the call's other messages are.
  package func send(isPlain: Bool = false, _ append: (inout [UInt8]) -> Void) {
    eventLoop.preconditionInEventLoop()
    guard let exchange else { return }
    respondIfNeeded(exchange)
    if !isPlain, responseEncoding != .identity { return sendCompressed(exchange, append) }
    exchange.write { appendMessage(to: &$0, append) }
  }

  /// Ends the call.
  package func finish(_ status: RPCStatus) {
    eventLoop.preconditionInEventLoop()
    guard let exchange else { return }
    let (initialMetadata, trailingMetadata) = (extras?.initialMetadata, extras?.trailingMetadata)
    if status.code == .ok, trailingMetadata == nil {
      respondIfNeeded(exchange)
      exchange.finish(StatusFields.ok)
    } else if hasResponded || status.code == .ok || initialMetadata != nil {
      respondIfNeeded(exchange)
      exchange.finish(trailers: handler.statusFields.trailers(status).appending(trailingMetadata))
    } else {
      var fields = RPCHandler.responseFields
      handler.statusFields.append(status, to: &fields)
      exchange.respond(status: 200, fields: fields.appending(trailingMetadata), isEnd: true)
    }
    detach()
  }

  /// Counts what the method keeps of its requests against the byte budget, until `release`: typed methods do so.
  package func hold(_ byteCount: Int) {
    eventLoop.preconditionInEventLoop()
    memory.held.take(byteCount)
  }

  /// May be called after the call is over.
  package func release(_ byteCount: Int) {
    eventLoop.preconditionInEventLoop()
    memory.held.release(byteCount)
  }

  /// For a method about to make a large answer.
  /// - Throws: RESOURCE_EXHAUSTED when the process is short of memory, or the client does not read its answers.
  package func checkRoom() throws(RPCStatus) {
    eventLoop.preconditionInEventLoop()
    if memory.budget.isExhausted { throw memory.refusal(.held) }
    let (unread, limit) = (exchange?.connectionBufferedByteCount ?? 0, handler.limits.maximumUnreadBytes)
    if unread > limit { throw RPCHandler.status(of: .unreadAnswers(byteCount: unread, limit: limit)) }
  }

  /// One message and OK: the whole answer of a unary call.
  package func respond(_ append: (inout [UInt8]) -> Void) {
    if !hasResponded, extras?.initialMetadata == nil, extras?.trailingMetadata == nil,
       responseEncoding == .identity, requestEncoding == .identity {
      handler.eventLoop.preconditionInEventLoop()
      guard let exchange else { return }
      hasResponded = true
      exchange.respond(RPCHandler.responseHead, trailers: StatusFields.ok) { appendMessage(to: &$0, append) }
      return detach()
    }
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
    await withCheckedContinuation { continuation in makeExtras().drainWaiter = continuation }
  }

  // MARK: Life

  func start() {
    if let timeout = route.timeout {
      let extras = makeExtras()
      extras.deadline = .now + timeout
      guard timeout > .zero else { return deadlinePassed() }
      extras.deadlineTimer = eventLoop.scheduleTask(in: .nanoseconds(timeout.nanoseconds)) { [weak self] in
        self?.deadlinePassed()
      }
    }
    if handler.compressesMessages { compressMessages() }
    if case .stream(let makeReceiver) = method.handler {
      let receiver = makeReceiver(self)
      // A method may end its call at once.
      guard isOpen else { return }
      self.receiver = receiver
    }
    if method.isListed {
      begin = .now
      id = handler.calls.add(self)
    }
  }

  /// Ends the call with a status and cancels its method.
  package func abort(_ status: RPCStatus) {
    guard isOpen else { return }
    let cancel = (receiver, onCancel)
    finish(status)
    cancel.0?.cancelled()
    cancel.1?()
  }

  func serverIsDraining() { receiver?.serverIsDraining() }

  private func deadlinePassed() {
    abort(RPCStatus(.deadlineExceeded, "the deadline passed before the call was done"))
  }

  private func appendMessage(to output: inout [UInt8], _ append: (inout [UInt8]) -> Void) {
    let start = output.count
    MessageFrame.append(to: &output, append)
    sent.add(output.count - start - MessageFrame.prefixByteCount)
  }

  private func respondIfNeeded(_ exchange: any HTTPExchange) {
    guard !hasResponded else { return }
    hasResponded = true
    if responseEncoding == .identity, requestEncoding == .identity, extras?.initialMetadata == nil {
      return exchange.respond(RPCHandler.responseHead)
    }
    var fields = RPCHandler.responseFields
    if responseEncoding != .identity { fields.append("grpc-encoding", responseEncoding.name) }
    if requestEncoding != .identity { fields.append("grpc-accept-encoding", MessageEncoding.accepted) }
    exchange.respond(status: 200, fields: fields.appending(extras?.initialMetadata), isEnd: false)
  }

  /// What would grow is sent as it is: the flag of each message says which it is.
  private func sendCompressed(_ exchange: any HTTPExchange, _ append: (inout [UInt8]) -> Void) {
    var message: [UInt8] = []
    append(&message)
    let compressed = handler.compression.compressed(message.span, responseEncoding)
    let isSmaller = compressed.count < message.count
    exchange.write { output in
      MessageFrame.append(to: &output, isCompressed: isSmaller) { $0 += isSmaller ? compressed : message }
      sent.add(min(compressed.count, message.count))
    }
  }

  func resumeDrainWaiter() {
    extras?.drainWaiter?.resume()
    extras?.drainWaiter = nil
  }

  /// The call is over: nothing reaches the exchange any more, and nothing is kept alive by it.
  func detach() {
    settleMessage()
    if id != 0 { handler.calls.remove(id) }
    exchange = nil
    receiver = nil
    onCancel = nil
    guard let extras else { return }
    resumeDrainWaiter()
    extras.deadlineTimer?.cancel()
    extras.deadlineTimer = nil
  }
}
