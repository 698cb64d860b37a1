// A deadline of a millisecond by the clock: how soon a method that sleeps learns that nobody waits any more.
import Contracts
import HTTPCore
import NIOCore
import NIOPosix
import Protobuf
import RPC
import RPCMessages
import Status
import Synchronization
import TestSupport
import Testing

@Suite("Deadlines by the clock") struct DeadlineTests {
  /// FEATURES G1, after the deadline.
  static let bound = Duration.milliseconds(10)
  /// A busy machine may wake the loop late; one of so many calls is to be in time.
  static let tries = 50

  /// When the method was told, against the deadline in its context.
  final class Lateness: Sendable {
    let noted = Mutex<[Duration]>([])
  }

  @Test("a method that sleeps is cancelled within 10 ms of a deadline of 1 ms, and the client is told",
        .timeLimit(.minutes(1)))
  func sleeping() async throws {
    let lateness = Lateness()
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let router = RPCRouter([
      .unary("/test.S/Sleep") { (_: ESPV1.IngestRequest, context) async throws(RPCStatus) -> ESPV1.IngestResponse in
        do {
          try await Task.sleep(for: .seconds(600))
        } catch {
          let late = context.deadline.map { ContinuousClock.now - $0 }
          lateness.noted.withLock { $0.append(late ?? .seconds(600)) }
        }
        throw RPCStatus(.internal, "an answer that comes too late")
      }
    ])
    let loop = group.next()
    let handler = NIOLoopBoundBox.makeBoxSendingValue(
      RPCHandler(eventLoop: loop, router: router, statusFields: StatusFields { _ in [] }), eventLoop: loop)
    for call in 1...Self.tries {
      let exchange = try await loop.submit {
        let exchange = MemoryExchange(path: "/test.S/Sleep", fields: [
          ("content-type", "application/grpc"), ("grpc-timeout", "1m"),
        ])
        exchange.delegate = handler.value.accept(exchange)
        exchange.receive(frame([]))
        exchange.end()
        return NIOLoopBoundBox(exchange, eventLoop: loop)
      }.get()
      while lateness.noted.withLock({ $0.count }) < call { try await Task.sleep(for: .milliseconds(1)) }
      #expect(try await loop.submit { exchange.value.grpcStatus }.get() == "4")
      let best = lateness.noted.withLock { $0.min() } ?? .seconds(600)
      #expect(best > .zero, "no method is cancelled before its deadline")
      if best <= Self.bound { break }
    }
    let all = lateness.noted.withLock { $0 }
    #expect(all.contains { $0 <= Self.bound }, "after the deadline, each time: \(all)")
    try await group.shutdownGracefully()
  }
}
