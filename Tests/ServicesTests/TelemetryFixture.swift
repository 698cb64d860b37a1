// The telemetry service on a real event loop and a store in memory; calls are exchanges in memory.
import Contracts
import Foundation
import Live
import Logging
import NIOCore
import NIOPosix
import Pipeline
import PostgresStore
import Protobuf
import RPC
import Services
import Telemetry
import TestSupport

/// One service for one test. Calls live on `loop`; a test reaches them by `onLoop`.
final class TelemetryFixture: Sendable {
  let store: MemoryStore
  let pipeline: IngestPipeline
  private let latencies: AckLatencies
  let loop: any EventLoop
  let facts = ServerFacts()
  private let group: MultiThreadedEventLoopGroup

  /// On a busy machine a test may take longer than the pause after which a heartbeat comes.
  static var withoutHeartbeats: IngestStreamLimits {
    var limits = IngestStreamLimits()
    limits.heartbeatInterval = .seconds(3600)
    return limits
  }
  private let handler: NIOLoopBoundBox<RPCHandler>

  private let journals = TemporaryJournals()

  init(cursors: [String: UInt64] = [:], maximumJournalBytes: Int = 64 << 20,
       streamLimits: IngestStreamLimits = TelemetryFixture.withoutHeartbeats) throws {
    let store = MemoryStore(cursors: cursors)
    self.store = store
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let (live, historical) = try journals.open(maximumBytes: maximumJournalBytes, segmentBytes: 64 << 10)
    pipeline = IngestPipeline(live: live, historical: historical,
                              coding: TelemetryService.journalCoding(rules: ReadingRules()), logger: logger)
    try pipeline.start { store }
    group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    loop = group.next()
    // No test here reads: the reader never connects.
    let reader = ReadingReader(try PostgresLocation("host=/nowhere dbname=none"), logger: logger)
    let feed = LiveFeed(history: MemoryHistory(), logger: logger)
    let latencies = AckLatencies()
    self.latencies = latencies
    let service = TelemetryService(pipeline: pipeline, reader: reader, live: feed, rules: ReadingRules(), group: group,
                                   streamLimits: streamLimits, latencies: latencies)
    let registry = CallRegistry()
    let methods = service.methods + AdminService(registry: registry, facts: facts).methods
    let handler = RPCHandler(eventLoop: loop, router: RPCRouter(methods),
                             statusFields: StatusFields(encodeDetails: StatusDetails.encode), registry: registry)
    self.handler = NIOLoopBoundBox.makeBoxSendingValue(handler, eventLoop: loop)
  }

  /// Ends what the test has started; not from the loop.
  func stop() async throws {
    store.openGate()
    pipeline.stop(deadline: .seconds(5))
    try await group.shutdownGracefully()
  }

  var ingestFacts: @Sendable () -> IngestFacts {
    { [pipeline, latencies] in IngestFacts(pipeline, latencies) }
  }

  func open(_ path: String, of service: String = "TelemetryService") async throws -> TestCall {
    let box = try await loop.submit { [self] in
      let exchange = MemoryExchange(path: "/esp.v1.\(service)/\(path)")
      exchange.delegate = handler.value.accept(exchange)
      return NIOLoopBoundBox(exchange, eventLoop: self.loop)
    }.get()
    return TestCall(loop: loop, exchange: box)
  }

  func drain() async throws { try await loop.submit { [self] in handler.value.drain() }.get() }
}

/// A call in progress, seen from the client's side.
struct TestCall: Sendable {
  let loop: any EventLoop
  let exchange: NIOLoopBoundBox<MemoryExchange>

  func send(_ message: some ProtobufMessage) async throws {
    let bytes = frame(message.serialized())
    try await loop.submit { exchange.value.receive(bytes) }.get()
  }

  /// Reads what has been answered; until then it counts as unread.
  func read() async throws { try await loop.submit { exchange.value.read() }.get() }

  func end() async throws { try await loop.submit { exchange.value.end() }.get() }

  /// The status, once there is one.
  func status() async throws -> String {
    while true {
      if let status = try await loop.submit({ exchange.value.grpcStatus }).get() { return status }
      try await Task.sleep(for: .milliseconds(1))
    }
  }

  func message() async throws -> String { try await loop.submit { exchange.value.grpcMessage ?? "" }.get() }
  func uncreditedCount() async throws -> Int { try await loop.submit { exchange.value.uncreditedCount }.get() }

  /// The first `count` answers, once they are there.
  func answers<Message: ProtobufMessage>(_ count: Int, as type: Message.Type) async throws -> [Message] {
    while true {
      let messages = try await loop.submit { exchange.value.messages }.get()
      if messages.count >= count { return try messages.prefix(count).map { try Message(serialized: $0.span) } }
      try await Task.sleep(for: .milliseconds(1))
    }
  }
}

extension ESPV1.IngestStreamRequest {
  static func open(_ producerID: String, _ level: ESPV1.AckLevel = .unspecified,
                   isHistorical: Bool = false) -> Self {
    .with { message in
      message.message = .open(.with {
        $0.producerID = producerID
        $0.ackLevel = level
        $0.historical = isHistorical
      })
    }
  }

  static func batch(_ sequence: UInt64, _ readings: [ESPV1.Reading]) -> Self {
    .with { $0.message = .batch(.with { $0.sequence = sequence; $0.readings = readings }) }
  }
}

extension ESPV1.Reading {
  /// A good one of now.
  static func good(_ device: String = "ESP-001") -> Self {
    .with {
      $0.deviceID = device
      $0.timestamp = GoogleProtobuf.Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000))
      $0.temperature = 85
    }
  }
}
