// Calls that are short of memory: who waits, who is refused, and that what has begun can be finished.
import HTTPCore
import NIOCore
import NIOEmbedded
import RPC
import Status
import TestSupport
import Testing

@Suite("Memory of calls") struct CallMemoryTests {
  /// Counts what it is given; pauses when told to.
  final class Receiver: RPCMessageReceiver {
    let call: RPCCall
    var received = 0
    var pausesAfterEach = false

    init(_ call: RPCCall) { self.call = call }

    func received(_ message: Span<UInt8>) {
      received += 1
      if pausesAfterEach { call.pause() }
    }

    func receivedEnd() { call.finish(.ok) }
    func cancelled() {}
  }

  /// A budget of 64 MiB: a half is 32, streams wait at 24.
  final class Fixture {
    let loop = EmbeddedEventLoop()
    let budget = ByteBudget(limitBytes: 64 << 20)
    var receivers: [Receiver] = []
    private(set) var handler: RPCHandler!

    init(messageTimeout: Duration = .seconds(30)) {
      var limits = RPCLimits()
      limits.messageTimeout = messageTimeout
      // Unsafe because the compiler can't know that everything runs on the test's thread.
      nonisolated(unsafe) let fixture = self
      let methods = [
        RPCMethod.unaryBytes("/t.T/Unary") { _, call in call.respond { _ in } },
        RPCMethod.streamingBytes("/t.T/Stream") { call in
          let receiver = Receiver(call)
          unsafe fixture.receivers.append(receiver)
          return receiver
        },
      ]
      handler = RPCHandler(eventLoop: loop, router: RPCRouter(methods), statusFields: StatusFields { _ in [] },
                           limits: limits, budget: budget)
    }

    func open(_ method: String) -> MemoryExchange {
      let exchange = MemoryExchange(path: "/t.T/\(method)")
      exchange.delegate = handler.accept(exchange)
      return exchange
    }

    /// Streams that have sent the beginning of a message of 4 MiB.
    func begun(_ count: Int) -> [MemoryExchange] {
      (0..<count).map { _ in
        let exchange = open("Stream")
        exchange.receive(Array(frame([], announcing: 4 << 20)) + [UInt8](repeating: 0, count: 1000))
        return exchange
      }
    }
  }

  @Test("a unary call is refused while requests and answers take all there is, and says when to come again")
  func unaryRefused() {
    let fixture = Fixture()
    fixture.budget.take(32 << 20, of: .held)
    let refused = fixture.open("Unary")
    #expect(refused.grpcStatus == "8")
    #expect(refused.grpcMessage?.contains("33554432") == true)
    #expect(refused.fields["grpc-retry-pushback-ms"] == "500")
    fixture.budget.release(1, of: .held)
    let served = fixture.open("Unary")
    served.receive(frame([1]))
    served.end()
    #expect(served.grpcStatus == "0")
  }

  @Test("a unary call that was accepted is refused when the memory has gone before its message is here")
  func unaryRefusedLater() {
    let fixture = Fixture()
    let exchange = fixture.open("Unary")
    exchange.receive(frame([1]))
    fixture.budget.take(32 << 20, of: .held)
    exchange.end()
    #expect(exchange.grpcStatus == "8")
    #expect(exchange.fields["grpc-retry-pushback-ms"] == "500")
  }

  @Test("a unary message that finds no room for its next part is refused, and gives back what it had")
  func unaryPart() {
    let fixture = Fixture()
    let exchange = fixture.open("Unary")
    exchange.receive(Array(frame([], announcing: 4 << 20)) + [UInt8](repeating: 0, count: 1 << 20))
    #expect(exchange.grpcStatus == nil)
    #expect(exchange.uncreditedCount == 0)
    fixture.budget.take(31 << 20, of: .windows)
    exchange.receive([UInt8](repeating: 0, count: 1 << 20))
    #expect(exchange.grpcStatus == "8")
    #expect(exchange.fields["grpc-retry-pushback-ms"] == "500")
    #expect(fixture.budget.usedBytes(.windows) <= (31 << 20) + (128 << 10))
  }

  @Test("a stream is never refused: its message waits uncredited until there is room") func streamWaits() {
    let fixture = Fixture()
    fixture.budget.take(24 << 20, of: .held)
    let exchange = fixture.open("Stream")
    exchange.receive(frame([1, 2, 3]))
    #expect(fixture.receivers[0].received == 0)
    #expect(exchange.uncreditedCount == 8)
    fixture.loop.run()
    #expect(fixture.receivers[0].received == 0)
    fixture.budget.release(1, of: .held)
    fixture.loop.run()
    #expect(fixture.receivers[0].received == 1)
    #expect(exchange.uncreditedCount == 0)
    #expect(exchange.grpcStatus == nil)
  }

  @Test("half messages can't block each other: what has room is finished, then the next one gets it")
  func noDeadlock() {
    let fixture = Fixture()
    // 24 MiB take five whole messages of 4 MiB and their prefixes; the others wait with what their windows let in.
    let streams = fixture.begun(10)
    #expect(streams.filter { $0.uncreditedCount == 0 }.count == 5)
    var finished: Set<Int> = []
    while finished.count < 10 {
      let open = streams.indices.filter { streams[$0].uncreditedCount == 0 && !finished.contains($0) }
      #expect(!open.isEmpty, "nobody can go on")
      guard let next = open.first else { return }
      streams[next].receive([UInt8](repeating: 0, count: (4 << 20) - 1000))
      fixture.loop.run()
      finished.insert(next)
    }
    #expect(fixture.receivers.allSatisfy { $0.received == 1 })
    for exchange in streams { exchange.end() }
    #expect(streams.allSatisfy { $0.grpcStatus == "0" })
    #expect(fixture.budget.usedBytes(.windows) <= 128 << 10)
  }

  @Test("room that comes in the same turn in which a stream begins to wait is not missed") func sameTurn() {
    let fixture = Fixture()
    fixture.budget.take(24 << 20, of: .held)
    let exchange = fixture.open("Stream")
    exchange.receive(frame([1]))
    // Before the loop has run: the wake was asked for already.
    fixture.budget.release(24 << 20, of: .held)
    fixture.loop.run()
    #expect(fixture.receivers[0].received == 1)
  }

  @Test("a waiting stream that is cancelled is forgotten, and a granted one gives its room to the next")
  func cancelled() {
    let fixture = Fixture()
    let streams = fixture.begun(7)
    streams[5].cancel()
    streams[0].cancel()
    fixture.loop.run()
    #expect(streams[6].uncreditedCount == 0, "the first that still waits has the room")
    for exchange in streams { exchange.cancel() }
    fixture.loop.run()
    #expect(fixture.budget.usedBytes(.windows) <= 128 << 10)
  }

  @Test("a message that does not go on is ended when others need its room") func slowMessage() {
    let fixture = Fixture(messageTimeout: .zero)
    let slow = fixture.begun(5)
    let next = fixture.begun(1)
    #expect(slow.allSatisfy { $0.grpcStatus == "8" })
    fixture.loop.run()
    #expect(next[0].uncreditedCount == 0)
    #expect(next[0].grpcStatus == nil)
  }

  @Test("a message that is all here but not taken is not slow: that is the server's doing") func paused() {
    let fixture = Fixture(messageTimeout: .zero)
    let exchange = fixture.open("Stream")
    fixture.receivers[0].pausesAfterEach = true
    exchange.receive(frame([1]) + frame([], announcing: 4 << 20) + [UInt8](repeating: 0, count: 1000))
    // The second has not been looked at: the call is paused. It begins, and pauses again in its midst.
    fixture.receivers[0].call.resume()
    fixture.receivers[0].call.pause()
    exchange.receive([UInt8](repeating: 0, count: (4 << 20) - 1000))
    #expect(exchange.uncreditedCount == 0, "what has been given room is finished, paused or not")
    _ = fixture.begun(6)
    #expect(exchange.grpcStatus == nil)
  }

  @Test("the window opens by what was taken, not by what lies behind it") func exactCredit() {
    let fixture = Fixture()
    let exchange = fixture.open("Stream")
    fixture.receivers[0].pausesAfterEach = true
    exchange.receive(frame([1]) + frame([2]) + frame([3]))
    #expect(fixture.receivers[0].received == 1)
    #expect(exchange.uncreditedCount == 12)
    fixture.receivers[0].call.resume()
    #expect(exchange.uncreditedCount == 6)
  }

  @Test("more than one message in a unary call is refused as soon as it shows") func tooMany() {
    let fixture = Fixture()
    let exchange = fixture.open("Unary")
    exchange.receive(frame([1]) + [0])
    #expect(exchange.grpcStatus == "12")
  }

  @Test("a connection that is refused hears so as a call's status", arguments: [
    (HTTPRefusal.tooManyConnections(limit: 7), "all the 7 connections"),
    (HTTPRefusal.unreadAnswers(byteCount: 9, limit: 8), "answers of 9 bytes"),
  ])
  func refusal(reason: HTTPRefusal, phrase: String) {
    let exchange = MemoryExchange(path: "/t.T/Unary")
    Fixture().handler.refuse(exchange, reason)
    #expect(exchange.grpcStatus == "8")
    #expect(exchange.grpcMessage?.contains(phrase) == true)
    #expect(exchange.fields["grpc-retry-pushback-ms"] == "1000")
    let plain = MemoryExchange(path: "/", fields: [("content-type", "text/html")])
    Fixture().handler.refuse(plain, reason)
    #expect(plain.status == 503)
  }

  @Test("10,000 cancelled calls leave nothing counted") func cancels() {
    let fixture = Fixture()
    for index in 0..<10_000 {
      let exchange = fixture.open(index.isMultiple(of: 2) ? "Stream" : "Unary")
      exchange.receive(Array(frame([], announcing: 100_000)) + [UInt8](repeating: 0, count: 5000))
      exchange.cancel()
    }
    fixture.receivers = []
    #expect(fixture.budget.usedBytes(.windows) <= 128 << 10)
    #expect(fixture.budget.usedBytes(.held) == 0)
  }
}
