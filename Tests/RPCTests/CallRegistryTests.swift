// The calls of two event loops as one list: who stands in it, in which order, and how a call is ended from outside.
import HTTPCore
import NIOCore
import NIOPosix
import RPC
import Status
import Synchronization
import TestSupport
import Testing

@Suite("Call registry") struct CallRegistryTests {
  /// Counts what the methods' receivers were told.
  final class Told: Sendable {
    let cancelled = Atomic(0)
    let draining = Atomic(0)
  }

  final class Receiver: RPCMessageReceiver {
    let call: RPCCall
    let told: Told

    init(_ call: RPCCall, _ told: Told) {
      self.call = call
      self.told = told
    }

    func received(_ message: Span<UInt8>) {
      let bytes = Array(copying: message)
      call.send { $0 += bytes + bytes }
    }

    func receivedEnd() { call.finish(.ok) }
    func cancelled() { told.cancelled.add(1, ordering: .relaxed) }
    func serverIsDraining() { told.draining.add(1, ordering: .relaxed) }
  }

  struct Open: Sendable {
    let loop: any EventLoop
    let exchange: NIOLoopBoundBox<MemoryExchange>

    func with<Value: Sendable>(_ body: @escaping @Sendable (MemoryExchange) -> Value) async throws -> Value {
      try await loop.submit { body(exchange.value) }.get()
    }
  }

  final class Fixture: Sendable {
    let registry = CallRegistry()
    let told = Told()
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let handlers: [(loop: any EventLoop, handler: NIOLoopBoundBox<RPCHandler>)]

    init() {
      let told = told
      let router = RPCRouter([
        .unaryBytes("/test.S/Unary") { _, _ in },
        .streamingBytes("/test.S/Stream") { Receiver($0, told) },
        .streamingBytes("/test.S/Over") { call in
          call.finish(.ok)
          return Receiver(call, told)
        },
        RPCMethod(path: "/test.S/Answers", handler: .single { _, call in
          call.whenCancelled { told.cancelled.add(1, ordering: .relaxed) }
        }, streamsResponses: true),
      ])
      var handlers: [(loop: any EventLoop, handler: NIOLoopBoundBox<RPCHandler>)] = []
      for loop in group.makeIterator() {
        let handler = RPCHandler(eventLoop: loop, router: router, statusFields: StatusFields { _ in [] },
                                 registry: registry)
        handlers.append((loop, NIOLoopBoundBox.makeBoxSendingValue(handler, eventLoop: loop)))
      }
      self.handlers = handlers
    }

    func open(_ method: String, on index: Int) async throws -> Open {
      let (loop, handler) = handlers[index]
      let exchange = try await loop.submit {
        let exchange = MemoryExchange(path: "/test.S/\(method)")
        exchange.delegate = handler.value.accept(exchange)
        return NIOLoopBoundBox(exchange, eventLoop: loop)
      }.get()
      return Open(loop: loop, exchange: exchange)
    }

    func ids(after id: UInt64 = 0, limit: Int = 100) async -> [UInt64] {
      await registry.calls(after: id, limit: limit) { $0.id }
    }
  }

  func withFixture(_ body: (Fixture) async throws -> Void) async throws {
    let fixture = Fixture()
    do { try await body(fixture) } catch { Issue.record(error) }
    try await fixture.group.shutdownGracefully()
  }

  @Test("calls of all loops stand in one list in the order in which they began, page by page")
  func pages() async throws {
    try await withFixture { fixture in
      var calls: [Open] = []
      for index in 0..<5 { calls.append(try await fixture.open("Stream", on: index % 2)) }
      let ids = await fixture.ids()
      #expect(ids.count == 5 && ids == ids.sorted() && Set(ids).count == 5)
      #expect(await fixture.registry.count() == 5)
      #expect(await fixture.ids(limit: 2) == Array(ids[..<2]))
      #expect(await fixture.ids(after: ids[1], limit: 2) == Array(ids[2..<4]))
      #expect(await fixture.ids(after: ids[3], limit: 2) == Array(ids[4...]))
      #expect(await fixture.ids(after: ids[4]) == [])
    }
  }

  @Test("long answers are listed; a call of one message and one answer, and one that is over at once, are not")
  func listed() async throws {
    try await withFixture { fixture in
      for method in ["Unary", "Over", "Nothing"] { _ = try await fixture.open(method, on: 0) }
      #expect(await fixture.registry.count() == 0)
      _ = try await fixture.open("Answers", on: 1)
      #expect(await fixture.registry.calls(after: 0, limit: 9) { $0.method.path } == ["/test.S/Answers"])
    }
  }

  @Test("messages and bytes are counted without prefixes, each way") func counts() async throws {
    try await withFixture { fixture in
      let call = try await fixture.open("Stream", on: 0)
      try await call.with { exchange in
        for byte in frame([1, 2, 3]) { exchange.receive([byte]) }
        exchange.receive(frame([]) + frame([4]))
      }
      let counts = await fixture.registry.calls(after: 0, limit: 1) { ($0.received, $0.sent) }
      let (received, sent) = try #require(counts.first)
      #expect(received.messages == 3 && received.bytes == 4)
      #expect(sent.messages == 3 && sent.bytes == 8)
    }
  }

  @Test("an ended call has the given status, its method is told, its neighbours live", arguments: ["Stream", "Answers"])
  func abort(method: String) async throws {
    try await withFixture { fixture in
      let neighbours = [try await fixture.open("Stream", on: 0), try await fixture.open("Stream", on: 1)]
      let call = try await fixture.open(method, on: 1)
      if method == "Answers" {
        try await call.with { exchange in
          exchange.receive(frame([1]))
          exchange.end()
        }
      }
      let id = try #require(await fixture.ids().last)
      #expect(await fixture.registry.abort(id, RPCStatus(.aborted, "enough")))
      #expect(try await call.with { $0.grpcStatus } == "10")
      #expect(try await call.with { $0.grpcMessage } == "enough")
      #expect(fixture.told.cancelled.load(ordering: .relaxed) == 1)
      #expect(await fixture.registry.abort(id, RPCStatus(.aborted, "again")) == false)
      #expect(await fixture.registry.count() == 2)
      for neighbour in neighbours { #expect(try await neighbour.with { $0.isEnded } == false) }
    }
  }

  @Test("ids that were never given are nobody's", arguments: [0, UInt64.max]) func unknown(id: UInt64) async throws {
    try await withFixture { fixture in
      let call = try await fixture.open("Stream", on: 0)
      #expect(await fixture.registry.abort(id, RPCStatus(.aborted, "no")) == false)
      #expect(try await call.with { $0.isEnded } == false)
    }
  }

  @Test("a call leaves the list however it ends") func ends() async throws {
    try await withFixture { fixture in
      let finished = try await fixture.open("Stream", on: 0)
      let cancelled = try await fixture.open("Stream", on: 1)
      let malformed = try await fixture.open("Stream", on: 1)
      #expect(await fixture.registry.count() == 3)
      try await finished.with { $0.end() }
      try await cancelled.with { $0.cancel() }
      try await malformed.with { $0.receive([9, 0, 0, 0, 0]) }
      #expect(await fixture.registry.count() == 0)
    }
  }

  @Test("a drain tells each call of its loop once") func drain() async throws {
    try await withFixture { fixture in
      for index in 0..<3 { _ = try await fixture.open("Stream", on: index % 2) }
      for (loop, handler) in fixture.handlers { try await loop.submit { handler.value.drain() }.get() }
      #expect(fixture.told.draining.load(ordering: .relaxed) == 3)
    }
  }

  /// NIO 2.101 drops what a loop gets after its end without a word: without `close` this test would not return.
  @Test("a closed registry has no calls and asks no loop") func afterShutdown() async throws {
    let fixture = Fixture()
    _ = try await fixture.open("Stream", on: 0)
    #expect(await fixture.registry.count() == 1)
    fixture.registry.close()
    #expect(await fixture.registry.count() == 0)
    try await fixture.group.shutdownGracefully()
    #expect(await fixture.registry.count() == 0)
    #expect(await fixture.ids() == [])
    #expect(await fixture.registry.abort(1, RPCStatus(.aborted, "late")) == false)
  }
}
