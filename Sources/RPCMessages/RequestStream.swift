// The messages that a client streams, as an async sequence.
package import Protobuf
internal import RPC
package import Status

/// The messages of a call in order; ends when the client has sent its last.
package struct RequestStream<Message: ProtobufMessage>: AsyncSequence, Sendable {
  package struct AsyncIterator: AsyncIteratorProtocol {
    fileprivate let source: RequestSource<Message>

    package mutating func next() async throws(RPCStatus) -> Message? { try await source.next() }

    /// Whether the message that `next` gave last came compressed.
    package var wasMessageCompressed: Bool { source.wasCompressed }

    package mutating func next(isolation actor: isolated (any Actor)?) async throws(RPCStatus) -> Message? {
      try await source.next()
    }
  }

  private let source: RequestSource<Message>

  init(_ source: RequestSource<Message>) { self.source = source }

  package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(source: source) }
}

/// Between the call, which gives messages, and the method, which asks for them. Used on the call's loop only.
final class RequestSource<Message: ProtobufMessage>: RPCMessageReceiver, @unchecked Sendable {
  // @unchecked because it is confined to its call's loop, where the method's task runs too.

  /// Decoded messages that wait for the method, and bytes of them as they came. Beyond either: the call pauses and the
  /// client's window closes.
  private static var maximumWaiting: Int { 16 }
  private static var maximumWaitingBytes: Int { 64 << 10 }
  /// Counted while a method has a message in hand: what it may send before its client reads. Many methods that begin in
  /// one turn would else find room that their answers then take together.
  private static var answerBytes: Int { 64 << 10 }

  private let call: RPCCall
  private var waiting: [(message: Message, byteCount: Int, isCompressed: Bool)] = []
  private var waitingBytes = 0
  private var isBusy = false
  private(set) var wasCompressed = false
  private var failure: RPCStatus?
  private var isEnded = false
  private var consumer: CheckedContinuation<Void, Never>?

  init(_ call: RPCCall) { self.call = call }

  func next() async throws(RPCStatus) -> Message? {
    if waiting.isEmpty { setBusy(false) }
    while waiting.isEmpty, failure == nil, !isEnded { await withCheckedContinuation { consumer = $0 } }
    if !waiting.isEmpty {
      let next = waiting.removeFirst()
      wasCompressed = next.isCompressed
      letGo(next.byteCount)
      if waiting.isEmpty { call.resume() }
      return next.message
    }
    if let failure { throw failure }
    return nil
  }

  func received(_ message: Span<UInt8>) {
    do throws(ProtobufError) {
      waiting.append((try Message(serialized: message), message.count, call.isMessageCompressed))
      waitingBytes += message.count
      call.hold(message.count)
      setBusy(true)
      if waiting.count >= Self.maximumWaiting || waitingBytes >= Self.maximumWaitingBytes { call.pause() }
    } catch {
      failure = error.rpcStatus
    }
    wake()
  }

  func receivedEnd() {
    isEnded = true
    wake()
  }

  func cancelled() {
    failure = RPCStatus(.cancelled, "the client has gone")
    wake()
  }

  /// The method has ended: what it did not ask for is nobody's.
  func drop() {
    waiting = []
    letGo(waitingBytes)
    setBusy(false)
  }

  private func setBusy(_ isBusy: Bool) {
    guard isBusy != self.isBusy else { return }
    self.isBusy = isBusy
    if isBusy { call.hold(Self.answerBytes) } else { call.release(Self.answerBytes) }
  }

  private func letGo(_ byteCount: Int) {
    waitingBytes -= byteCount
    call.release(byteCount)
  }

  private func wake() {
    consumer?.resume()
    consumer = nil
  }
}
