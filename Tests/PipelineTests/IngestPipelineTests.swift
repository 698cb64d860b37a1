// The pipeline's promises: order, once, isolation of what is at fault, and an answer to everything.
import Foundation
import HTTPCore
import Logging
import Pipeline
import PostgresStore
import Status
import Synchronization
import Telemetry
import TestSupport
import Testing

@Suite("Ingest pipeline") struct IngestPipelineTests {
  final class Owner: StreamOwner {
    let wasTakenOver = Mutex(false)

    func takenOver() { wasTakenOver.withLock { $0 = true } }
  }

  /// A running pipeline over a store in memory.
  final class Fixture: Sendable {
    let store: MemoryStore
    let pipeline: IngestPipeline
    let budget = ByteBudget()

    init(cursors: [String: UInt64] = [:], maximumQueuedReadings: Int = 1_000_000) {
      let store = MemoryStore(cursors: cursors)
      self.store = store
      var limits = IngestPipeline.Limits()
      limits.maximumQueuedReadings = maximumQueuedReadings
      pipeline = IngestPipeline(limits: limits, budget: budget,
                                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
      pipeline.start { store }
    }

    deinit {
      store.openGate()
      pipeline.stop(deadline: .seconds(5))
    }

    /// Loads the producer's cursor, as a service does.
    func load(_ id: String) async throws {
      try await withCheckedThrowingContinuation { continuation in
        pipeline.load(id) { (result: Result<Void, RPCStatus>) in continuation.resume(with: result) }
      }
    }

    func open(_ id: String, _ owner: Owner) async throws -> UInt64 {
      try await withCheckedThrowingContinuation { continuation in
        pipeline.open(id, owner: owner) { continuation.resume(with: $0) }
      }
    }

    /// Hands over and waits for the outcome; an admission that is none of `accepted` is returned at once.
    func submit(_ id: String? = nil, _ sequence: UInt64 = 0, device: String = "d", owner: Owner? = nil) async
      -> (Admission, Submission.Outcome?) {
      await withCheckedContinuation { continuation in
        let claim = id.map { Submission.Claim(producerID: $0, sequence: sequence, owner: owner) }
        let admission = pipeline.submit(Submission(claim: claim, batch: batch(device)) { outcome in
          continuation.resume(returning: (.accepted, outcome))
        })
        if admission != .accepted { continuation.resume(returning: (admission, nil)) }
      }
    }
  }

  static func expect(_ outcome: Submission.Outcome?, _ name: String, _ location: SourceLocation = #_sourceLocation) {
    let text = outcome.map { "\($0)" } ?? "none"
    #expect(text.hasPrefix(name), "\(text)", sourceLocation: location)
  }

  @Test("what waits is counted against the byte budget until it is settled") func budget() async throws {
    let fixture = Fixture()
    fixture.store.closeGate()
    async let outcome = fixture.submit()
    while fixture.budget.usedBytes(.held) == 0 { try await Task.sleep(for: .milliseconds(1)) }
    fixture.store.openGate()
    _ = await outcome
    while fixture.budget.usedBytes(.held) > 0 { try await Task.sleep(for: .milliseconds(1)) }
  }

  @Test("readings without a producer are committed, and move a cursor of the server's own") func plain() async {
    let fixture = Fixture()
    Self.expect(await fixture.submit().1, "committed")
    Self.expect(await fixture.submit().1, "committed")
    #expect(fixture.store.stored.deviceIDs.count == 2)
    #expect(fixture.store.stored.cursors.count == 1)
    #expect(fixture.store.stored.cursors.first?.value == 2)
  }

  @Test("a producer's steps: next, duplicate, gap") func steps() async throws {
    let fixture = Fixture(cursors: ["p": 7])
    #expect(await fixture.submit("p", 8).0 == .unknownProducer)
    try await fixture.load("p")
    Self.expect(await fixture.submit("p", 8).1, "committed")
    Self.expect(await fixture.submit("p", 8).1, "duplicate")
    Self.expect(await fixture.submit("p", 3).1, "duplicate")
    #expect(await fixture.submit("p", 10).0 == .gap(expected: 9))
    #expect(fixture.store.stored.deviceIDs.count == 1)
    #expect(fixture.store.stored.cursors["p"] == 8)
  }

  @Test("a repetition of what is on its way is answered only when that is committed")
  func duplicateInFlight() async throws {
    let fixture = Fixture()
    try await fixture.load("p")
    fixture.store.closeGate()
    async let first = fixture.submit("p", 1)
    while await fixture.submit("p", 3).0 != .gap(expected: 2) { await Task.yield() }
    async let second = fixture.submit("p", 1)
    fixture.store.openGate()
    Self.expect(await first.1, "committed")
    Self.expect(await second.1, "duplicate")
    #expect(fixture.store.stored.deviceIDs.count == 1)
  }

  @Test("what waits becomes one transaction, and a producer's steps one move") func grouping() async throws {
    let fixture = Fixture()
    try await fixture.load("p")
    fixture.store.closeGate()
    let outcomes = Mutex(0)
    for sequence in 1...50 as ClosedRange<UInt64> {
      let admission = fixture.pipeline.submit(Submission(claim: .init(producerID: "p", sequence: sequence, owner: nil),
                                                         batch: batch("d")) { _ in outcomes.withLock { $0 += 1 } })
      #expect(admission == .accepted)
    }
    fixture.store.openGate()
    Self.expect(await fixture.submit("p", 51).1, "committed")
    #expect(outcomes.withLock { $0 } == 50)
    #expect(fixture.store.stored.cursors["p"] == 51)
    #expect(fixture.store.stored.transactionCount <= 3)
  }

  @Test("a second stream takes over once what the first one sent is settled") func takeOver() async throws {
    let fixture = Fixture()
    let (first, second) = (Owner(), Owner())
    #expect(try await fixture.open("p", first) == 0)
    fixture.store.closeGate()
    async let outcome = fixture.submit("p", 1, owner: first)
    while await fixture.submit("p", 3).0 != .gap(expected: 2) { await Task.yield() }
    async let opened = fixture.open("p", second)
    while !first.wasTakenOver.withLock({ $0 }) { await Task.yield() }
    fixture.store.openGate()
    Self.expect(await outcome.1, "committed")
    #expect(try await opened == 1)
    #expect(await fixture.submit("p", 2, owner: first).0 == .takenOver)
    Self.expect(await fixture.submit("p", 2, owner: second).1, "committed")
    #expect(!second.wasTakenOver.withLock { $0 })
  }

  @Test("a batch that the database refuses is left out, the cursor moves, the others are stored")
  func poison() async throws {
    let fixture = Fixture()
    try await fixture.load("p")
    try await fixture.load("q")
    fixture.store.closeGate()
    async let blocker = fixture.submit()
    async let bad = fixture.submit("p", 1, device: MemoryStore.poison)
    async let good = fixture.submit("q", 1)
    fixture.store.openGate()
    Self.expect(await blocker.1, "committed")
    Self.expect(await bad.1, "refused")
    Self.expect(await good.1, "committed")
    #expect(fixture.store.stored.cursors["p"] == 1)
    #expect(fixture.store.stored.cursors["q"] == 1)
    #expect(fixture.store.stored.deviceIDs.count == 2)
  }

  @Test("a cursor that another server moved fails the batch, and is loaded anew") func conflict() async throws {
    let fixture = Fixture()
    try await fixture.load("p")
    Self.expect(await fixture.submit("p", 1).1, "committed")
    fixture.store.moveCursor("p", to: 5)
    let outcome = await fixture.submit("p", 2).1
    Self.expect(outcome, "failed")
    if case .failed(let status) = outcome { #expect(status.code == .unavailable) }
    #expect(await fixture.submit("p", 2).0 == .unknownProducer)
    try await fixture.load("p")
    Self.expect(await fixture.submit("p", 2).1, "duplicate")
    Self.expect(await fixture.submit("p", 6).1, "committed")
  }

  @Test("a full queue refuses, and takes again when there is room") func overload() async {
    let fixture = Fixture(maximumQueuedReadings: 2)
    fixture.store.closeGate()
    async let first = fixture.submit()
    var refused = false
    let settled = Mutex(0)
    var accepted = 0
    while !refused {
      let admission = fixture.pipeline.submit(Submission(batch: batch("d")) { _ in settled.withLock { $0 += 1 } })
      if case .overloaded = admission { refused = true } else { accepted += 1 }
    }
    fixture.store.openGate()
    Self.expect(await first.1, "committed")
    while settled.withLock({ $0 }) < accepted { await Task.yield() }
    Self.expect(await fixture.submit().1, "committed")
  }

  @Test("stopping writes all that was taken, and takes nothing more") func stop() async {
    let fixture = Fixture()
    fixture.store.closeGate()
    let settled = Mutex(0)
    for _ in 0..<100 {
      _ = fixture.pipeline.submit(Submission(batch: batch("d")) { outcome in
        if case .committed = outcome { settled.withLock { $0 += 1 } }
      })
    }
    fixture.store.openGate()
    fixture.pipeline.stop(deadline: .seconds(10))
    #expect(settled.withLock { $0 } == 100)
    #expect(await fixture.submit().0 == .stopping)
  }

  @Test("stopping while the database is away fails what waits, with a time to try again") func stopWhileAway() {
    let fixture = Fixture()
    fixture.store.closeGate()
    let failures = Mutex<[RPCStatus]>([])
    _ = fixture.pipeline.submit(Submission(batch: batch("d")) { outcome in
      if case .failed(let status) = outcome { failures.withLock { $0.append(status) } }
    })
    fixture.pipeline.stop(deadline: .milliseconds(50))
    #expect(failures.withLock { $0.map(\.code) } == [.unavailable])
  }

  @Test("many producers at once from many threads: each sequence once, in order") func concurrent() async throws {
    let fixture = Fixture()
    await withTaskGroup { group in
      for producer in 0..<20 {
        group.addTask {
          let id = "p\(producer)"
          do { try await fixture.load(id) } catch { Issue.record(error) }
          for sequence in 1...100 as ClosedRange<UInt64> {
            Self.expect(await fixture.submit(id, sequence, device: id).1, "committed")
            if sequence % 7 == 0 { Self.expect(await fixture.submit(id, sequence - 3).1, "duplicate") }
          }
        }
      }
    }
    let stored = fixture.store.stored
    #expect(stored.deviceIDs.count == 2000)
    #expect((0..<20).allSatisfy { stored.cursors["p\($0)"] == 100 })
  }
}

private func batch(_ device: String) -> ReadingBatch {
  var batch = ReadingBatch()
  let id = batch.add(text: device.utf8)
  var reading = Reading(timestamp: 1, deviceID: id)
  reading[.temperature] = 20
  batch.readings.append(reading)
  return batch
}
