// A running pipeline over real journals and a store in memory.
import HTTPCore
import Journal
import Logging
import Pipeline
import Status
import Synchronization
import Telemetry
import TestSupport
import Testing

final class Owner: StreamOwner {
  let wasTakenOver = Mutex(false)

  func takenOver() { wasTakenOver.withLock { $0 = true } }
}

/// One run of a server, as far as the pipeline is concerned.
final class PipelineFixture: Sendable {
  static let own = "~test-0"

  let store: MemoryStore
  let pipeline: IngestPipeline
  let journals: TemporaryJournals
  let budget = ByteBudget()
  private let ownSequence = Mutex<UInt64>(0)

  /// - Parameters:
  ///   - journals: of an earlier run; nil = new ones.
  ///   - store: the same.
  init(_ journals: TemporaryJournals = TemporaryJournals(), store: MemoryStore = MemoryStore(),
       isGateClosed: Bool = false, maximumJournalBytes: Int = 64 << 20,
       limits: IngestPipeline.Limits = IngestPipeline.Limits()) throws {
    self.store = store
    self.journals = journals
    let (live, historical) = try journals.open(maximumBytes: maximumJournalBytes, segmentBytes: 64 << 10)
    pipeline = IngestPipeline(live: live, historical: historical, coding: TextCoding(), limits: limits, budget: budget,
                              logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    if isGateClosed { store.closeGate() }
    try pipeline.start { store }
    pipeline.register(ownProducer: Self.own)
  }

  deinit {
    store.openGate()
    pipeline.stop(deadline: .seconds(5))
  }

  /// Loads the producer's cursor, as a service does.
  func load(_ id: String) async throws {
    let failure = await withCheckedContinuation { continuation in
      pipeline.load(id) { continuation.resume(returning: $0) }
    }
    if let failure { throw failure }
  }

  func open(_ id: String, _ owner: Owner, _ priority: IngestPriority = .live) async throws -> UInt64 {
    try await withCheckedThrowingContinuation { continuation in
      pipeline.open(id, priority, owner: owner) { continuation.resume(with: $0) }
    }
  }

  /// Hands over and waits for the outcome; an admission that gives no answer is returned at once.
  func submit(_ id: String, _ sequence: UInt64, _ devices: [String] = ["d"], level: AckLevel = .committed,
              owner: Owner? = nil, _ priority: IngestPriority = .live) async -> (Admission, Submission.Outcome?) {
    await withCheckedContinuation { continuation in
      let answer = Submission.Answer(level) { continuation.resume(returning: (.accepted, $0)) }
      let admission = pipeline.submit(Self.submission(id, sequence, devices, owner: owner, priority, answers: [answer]))
      if ![.accepted, .duplicate].contains(admission) { continuation.resume(returning: (admission, nil)) }
    }
  }

  /// A batch without a producer: the server's own sequence.
  func submitOwn(_ devices: [String] = ["d"], level: AckLevel = .committed) async -> Submission.Outcome? {
    let sequence = ownSequence.withLock { sequence in
      sequence += 1
      return sequence
    }
    return await submit(Self.own, sequence, devices, level: level).1
  }

  static func submission(_ id: String, _ sequence: UInt64, _ devices: [String] = ["d"], owner: Owner? = nil,
                         _ priority: IngestPriority = .live, answers: [Submission.Answer] = []) -> Submission {
    Submission(claim: .init(producerID: id, sequence: sequence, owner: owner), priority: priority,
               message: .init(.streamRequest, Array(devices.joined(separator: ",").utf8), receivedAt: 1),
               batch: TextCoding.batch(devices), answers: answers)
  }

  func untilStored(_ count: Int) async throws {
    while store.stored.deviceIDs.count < count { try await Task.sleep(for: .milliseconds(1)) }
  }
}

/// Compares by how the outcome begins: `reached(Telemetry.AckLevel.durable`, `duplicate`, `failed`.
func expect(_ outcome: Submission.Outcome?, _ name: String, _ location: SourceLocation = #_sourceLocation) {
  let text = outcome.map { "\($0)" }?.replacing("Telemetry.AckLevel.", with: "") ?? "none"
  #expect(text.hasPrefix(name), "\(text)", sourceLocation: location)
}
