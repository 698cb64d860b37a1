// The pipeline's promises: order, once, isolation of what is at fault, and an answer to everything.
import Foundation
import HTTPCore
import Pipeline
import PostgresStore
import Status
import Synchronization
import Telemetry
import TestSupport
import Testing

@Suite("Ingest pipeline") struct IngestPipelineTests {
  @Test("what waits is counted against the byte budget until it is settled") func budget() async throws {
    let fixture = try PipelineFixture(isGateClosed: true)
    async let outcome = fixture.submitOwn()
    while fixture.budget.usedBytes(.held) == 0 { try await Task.sleep(for: .milliseconds(1)) }
    fixture.store.openGate()
    _ = await outcome
    while fixture.budget.usedBytes(.held) > 0 { try await Task.sleep(for: .milliseconds(1)) }
  }

  @Test("readings without a producer are steps of the server's own sequence") func plain() async throws {
    let fixture = try PipelineFixture()
    expect(await fixture.submitOwn(), "reached(committed")
    expect(await fixture.submitOwn(), "reached(committed")
    #expect(fixture.store.stored.deviceIDs.count == 2)
    #expect(fixture.store.stored.cursors == [PipelineFixture.own: 2])
  }

  @Test("a producer's steps: next, duplicate, gap") func steps() async throws {
    let fixture = try PipelineFixture(store: MemoryStore(cursors: ["p": 7]))
    #expect(await fixture.submit("p", 8).0 == .unknownProducer)
    try await fixture.load("p")
    expect(await fixture.submit("p", 8).1, "reached(committed")
    expect(await fixture.submit("p", 8).1, "duplicate(committed)")
    expect(await fixture.submit("p", 3).1, "duplicate(committed)")
    #expect(await fixture.submit("p", 10).0 == .gap(expected: 9))
    #expect(fixture.store.stored.deviceIDs.count == 1)
    #expect(fixture.store.stored.cursors["p"] == 8)
  }

  @Test("while the database is away batches become durable; a repetition is answered by what it asks for")
  func durable() async throws {
    let fixture = try PipelineFixture()
    try await fixture.load("p")
    fixture.store.closeGate()
    expect(await fixture.submit("p", 1, level: .durable).1, "reached(durable")
    expect(await fixture.submit("p", 1, level: .durable).1, "duplicate(durable)")
    async let committed = fixture.submit("p", 1, level: .committed)
    expect(await fixture.submit("p", 2, level: .durable).1, "reached(durable")
    #expect(fixture.store.stored.deviceIDs.isEmpty)
    fixture.store.openGate()
    expect(await committed.1, "duplicate(committed)")
    try await fixture.untilStored(2)
    #expect(fixture.store.stored.deviceIDs.count == 2)
  }

  @Test("what waits becomes one transaction, and a producer's steps one move") func grouping() async throws {
    let fixture = try PipelineFixture()
    try await fixture.load("p")
    fixture.store.closeGate()
    for sequence in 1...50 as ClosedRange<UInt64> {
      expect(await fixture.submit("p", sequence, level: .durable).1, "reached(durable")
    }
    fixture.store.openGate()
    expect(await fixture.submit("p", 51).1, "reached(committed")
    #expect(fixture.store.stored.cursors["p"] == 51)
    #expect(fixture.store.stored.transactionCount <= 3)
  }

  @Test("a second stream takes over once what the first one sent is durable") func takeOver() async throws {
    let fixture = try PipelineFixture()
    let (first, second) = (Owner(), Owner())
    #expect(try await fixture.open("p", first) == 0)
    fixture.store.closeGate()
    expect(await fixture.submit("p", 1, level: .durable, owner: first).1, "reached(durable")
    #expect(try await fixture.open("p", second) == 1)
    #expect(first.wasTakenOver.withLock { $0 })
    #expect(await fixture.submit("p", 2, owner: first).0 == .takenOver)
    expect(await fixture.submit("p", 2, level: .durable, owner: second).1, "reached(durable")
    #expect(!second.wasTakenOver.withLock { $0 })
    fixture.store.openGate()
    try await fixture.untilStored(2)
  }

  @Test("readings that the database refuses become dead letters, all others are stored", arguments: [
    ["poison"], ["a", "poison"], ["poison", "a", "b"], ["a", "b", "poison", "c", "poison", "e"],
    Array(repeating: "poison", count: 9), Array(repeating: "a", count: 99) + ["poison"],
  ])
  func poison(devices: [String]) async throws {
    let fixture = try PipelineFixture()
    try await fixture.load("p")
    try await fixture.load("q")
    fixture.store.closeGate()
    async let blocker = fixture.submitOwn()
    async let bad = fixture.submit("p", 1, devices)
    async let good = fixture.submit("q", 1)
    fixture.store.openGate()
    let places = devices.indices.filter { devices[$0] == MemoryStore.poison }
    expect(await blocker, "reached(committed, refused: [])")
    expect(await bad.1, "reached(committed, refused: \(places))")
    expect(await good.1, "reached(committed, refused: [])")
    let stored = fixture.store.stored
    #expect(stored.cursors["p"] == 1)
    #expect(stored.cursors["q"] == 1)
    #expect(stored.deviceIDs.filter { $0 != "d" } == devices.filter { $0 != MemoryStore.poison })
    #expect(stored.deadLetters.map(\.letter.original) == places.map { _ in Array(MemoryStore.poison.utf8) })
    #expect(stored.deadLetters.allSatisfy { $0.producerID == "p" && $0.sequence == 1 })
    let counters = fixture.pipeline.counters
    #expect(counters.quarantined == UInt64(places.count))
    #expect(counters.received == counters.stored + counters.quarantined && counters.inFlight == 0)
  }

  @Test("a cursor that another server moved: what it has stored is not stored again, the rest is")
  func conflict() async throws {
    let fixture = try PipelineFixture()
    try await fixture.load("p")
    expect(await fixture.submit("p", 1).1, "reached(committed")
    fixture.store.moveCursor("p", to: 5)
    expect(await fixture.submit("p", 2).1, "reached(committed")
    #expect(fixture.store.stored.deviceIDs.count == 1)
    #expect(fixture.pipeline.counters.duplicate == 1)
    #expect(await fixture.submit("p", 7).0 == .gap(expected: 6))
    expect(await fixture.submit("p", 6).1, "reached(committed")
    #expect(fixture.store.stored.cursors["p"] == 6)
    // As when its cursor was deleted.
    fixture.store.moveCursor("p", to: 0)
    expect(await fixture.submit("p", 7).1, "reached(committed")
    #expect(fixture.store.stored.cursors["p"] == 7)
  }

  @Test("stopping writes all that was taken, and takes nothing more") func stop() async throws {
    let fixture = try PipelineFixture(isGateClosed: true)
    for _ in 0..<100 { expect(await fixture.submitOwn(level: .durable), "reached(durable") }
    fixture.store.openGate()
    fixture.pipeline.stop(deadline: .seconds(10))
    #expect(fixture.store.stored.deviceIDs.count == 100)
    #expect(await fixture.submit(PipelineFixture.own, 101).0 == .stopping)
  }

  @Test("stopping while the database is away fails who waits for it, with a time to try again") func stopWhileAway()
    async throws {
    let fixture = try PipelineFixture(isGateClosed: true)
    let failures = Mutex<[RPCStatus]>([])
    let answer = Submission.Answer(.committed) { outcome in
      if case .failed(let status) = outcome { failures.withLock { $0.append(status) } }
    }
    _ = fixture.pipeline.submit(PipelineFixture.submission(PipelineFixture.own, 1, answers: [answer]))
    fixture.pipeline.stop(deadline: .milliseconds(50))
    #expect(failures.withLock { $0.map(\.code) } == [.unavailable])
  }

  @Test("many producers at once from many threads: each sequence once, in order") func concurrent() async throws {
    let fixture = try PipelineFixture()
    await withTaskGroup { group in
      for producer in 0..<20 {
        group.addTask {
          let id = "p\(producer)"
          do { try await fixture.load(id) } catch { Issue.record(error) }
          for sequence in 1...100 as ClosedRange<UInt64> {
            let level: AckLevel = sequence.isMultiple(of: 3) ? .committed : .durable
            expect(await fixture.submit(id, sequence, [id], level: level).1, "reached(\(level)")
            if sequence % 7 == 0 { expect(await fixture.submit(id, sequence - 3, level: .durable).1, "duplicate") }
          }
        }
      }
    }
    try await fixture.untilStored(2000)
    let stored = fixture.store.stored
    #expect(stored.deviceIDs.count == 2000)
    #expect((0..<20).allSatisfy { stored.cursors["p\($0)"] == 100 })
    let counters = fixture.pipeline.counters
    #expect(counters.received == counters.stored + counters.duplicate)
  }
}
