// What the calls of one event loop may receive, and who of them waits for room.
internal import HTTPCore
internal import NIOCore
internal import Status

/// The byte budget as the calls of one loop see it. Used on that loop only.
final class CallMemory {
  /// What a call needs before it can go on.
  enum Need: Equatable {
    /// Room for the rest of a message of which a part is here.
    case message
    /// Room for what becomes of a message that is here.
    case delivery
  }

  /// What a refused call is asked to wait: some transactions.
  static let retryAfter = Duration.milliseconds(500)

  let budget: ByteBudget
  let held: ByteAccount
  private let windows: ByteAccount
  private let eventLoop: any EventLoop
  private let messageTimeout: Duration
  /// In the order in which they came: a large message is not overtaken by small ones for ever.
  private var waitingForMessage: [RPCCall] = []
  private var waitingForDelivery: [RPCCall] = []
  private var isWakeAsked = false
  private var isCheckScheduled = false
  private var nextCheck = NIODeadline.uptimeNanoseconds(0)
  /// Calls that have been granted the room of a message, and since when.
  private var granted: [ObjectIdentifier: (call: RPCCall, since: NIODeadline)] = [:]

  init(_ budget: ByteBudget, eventLoop: any EventLoop, messageTimeout: Duration) {
    self.budget = budget
    self.eventLoop = eventLoop
    self.messageTimeout = messageTimeout
    held = ByteAccount(budget, .held)
    windows = ByteAccount(budget, .windows)
  }

  // MARK: Room for messages

  /// Counts the whole of a streamed message that has begun, or nothing: a stream can't be refused, so what it is given
  /// must suffice to finish.
  func grantWhole(_ byteCount: Int, to call: RPCCall) -> Bool {
    guard waitingForMessage.isEmpty, windows.reserve(byteCount, upTo: budget.streamMarkBytes) else {
      endSlowMessages()
      return false
    }
    granted[ObjectIdentifier(call)] = (call, .now())
    return true
  }

  /// Counts what has come of a unary message: it can be refused at any time, so it needs no room ahead.
  func grantPart(_ byteCount: Int, to call: RPCCall) -> Bool {
    guard windows.reserve(byteCount, upTo: budget.halfBytes) else {
      endSlowMessages()
      return false
    }
    if granted[ObjectIdentifier(call)] == nil { granted[ObjectIdentifier(call)] = (call, .now()) }
    return true
  }

  /// The message has been delivered, or its call is over.
  func takeBack(_ byteCount: Int, from call: RPCCall) {
    granted[ObjectIdentifier(call)] = nil
    windows.release(byteCount)
  }

  /// A message that begins and does not go on keeps room from all others: while they are short of it, it is ended.
  private func endSlowMessages() {
    let now = NIODeadline.now()
    guard now >= nextCheck else { return }
    nextCheck = now + .seconds(1)
    let oldest = now - .nanoseconds(messageTimeout.nanoseconds)
    for (call, since) in Array(granted.values) where since <= oldest && call.isMessageOnItsWay {
      call.finish(.overloaded(subject: "memory", """
        a message has been on its way for more than \(messageTimeout) and the server is short of memory: send it again
        """, retryAfter: CallMemory.retryAfter))
    }
  }

  /// What a call is told that finds no room.
  func refusal(_ half: ByteBudget.Half) -> RPCStatus {
    let what = half == .held ? "requests and answers" : "messages on their way"
    return .overloaded(subject: "memory", """
      \(what) take \(budget.usedBytes(half)) bytes of memory; the limit is \(budget.halfBytes): send again later
      """, retryAfter: CallMemory.retryAfter)
  }

  // MARK: Waiting

  /// The call is told by `roomCame` when there may be room.
  func wait(_ call: RPCCall, for need: Need) {
    switch need {
    case .message:
      waitingForMessage.append(call)
      scheduleCheck()
    case .delivery: waitingForDelivery.append(call)
    }
    askWake()
  }

  func forget(_ call: RPCCall) {
    waitingForMessage.removeAll { $0 === call }
    waitingForDelivery.removeAll { $0 === call }
  }

  /// One wake for all calls of the loop. Asked for first, then looked again: a release between can't be missed.
  private func askWake() {
    guard !isWakeAsked else { return }
    isWakeAsked = true
    let bound = NIOLoopBound(self, eventLoop: eventLoop)
    let eventLoop = eventLoop
    budget.whenReleased { eventLoop.execute { bound.value.wake() } }
    // Room came before the wake was asked for: nobody else would tell.
    let isRoom = waitingForMessage.isEmpty ? !budget.mustStreamsWait
      : budget.usedBytes(.windows) < budget.streamMarkBytes
    if isRoom { eventLoop.execute { bound.value.retry() } }
  }

  private func wake() {
    isWakeAsked = false
    retry()
  }

  private func retry() {
    var calls = waitingForMessage
    waitingForMessage = []
    while let call = calls.first {
      calls.removeFirst()
      call.roomCame()
      // The first that must wait on has all behind it wait too.
      if !waitingForMessage.isEmpty { break }
    }
    waitingForMessage += calls
    calls = waitingForDelivery
    waitingForDelivery = []
    for call in calls { call.roomCame() }
  }

  /// Slow messages end also when nothing else happens.
  private func scheduleCheck() {
    guard !isCheckScheduled else { return }
    isCheckScheduled = true
    let bound = NIOLoopBound(self, eventLoop: eventLoop)
    eventLoop.scheduleTask(in: .seconds(1)) {
      let memory = bound.value
      memory.isCheckScheduled = false
      guard !memory.waitingForMessage.isEmpty else { return }
      memory.endSlowMessages()
      memory.retry()
      if !memory.waitingForMessage.isEmpty { memory.scheduleCheck() }
    }
  }
}
