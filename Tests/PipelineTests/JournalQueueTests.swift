// What the journal does for the pipeline: outages longer than memory, restarts, a journal that is full, two lanes.
import HTTPCore
import Pipeline
import Status
import Telemetry
import TestSupport
import Testing

@Suite("Pipeline and journal") struct JournalQueueTests {
  private static var smallMemory: IngestPipeline.Limits {
    var limits = IngestPipeline.Limits()
    limits.maximumQueuedBytes = 4 << 10
    limits.maximumTransactionReadings = 100
    return limits
  }

  @Test("an outage longer than memory: all is read from the journal again, in order, once") func spill() async throws {
    let fixture = try PipelineFixture(limits: Self.smallMemory)
    try await fixture.load("p")
    try await fixture.load("q")
    fixture.store.closeGate()
    for sequence in 1...500 as ClosedRange<UInt64> {
      let devices = (0..<5).map { "p\(sequence)-\($0)" }
      expect(await fixture.submit("p", sequence, devices, level: .durable).1, "reached(durable")
      if sequence.isMultiple(of: 5) {
        expect(await fixture.submit("q", sequence / 5, ["q\(sequence / 5)"], level: .durable).1, "reached(durable")
      }
    }
    #expect(fixture.budget.usedBytes(.held) < 32 << 10)
    #expect(fixture.pipeline.counters.inFlight == 2600)
    async let last = fixture.submit("p", 501, ["last"])
    fixture.store.openGate()
    expect(await last.1, "reached(committed")
    // Back in memory.
    expect(await fixture.submit("p", 502, ["after"]).1, "reached(committed")
    let stored = fixture.store.stored.deviceIDs
    let expected = (1...500).flatMap { sequence in (0..<5).map { "p\(sequence)-\($0)" } } + ["last", "after"]
    #expect(stored.filter { !$0.hasPrefix("q") } == expected)
    #expect(stored.filter { $0.hasPrefix("q") } == (1...100).map { "q\($0)" })
    let counters = fixture.pipeline.counters
    #expect(counters.received == 2602 && counters.stored == 2602 && counters.inFlight == 0)
    while fixture.budget.usedBytes(.held) > 0 { try await Task.sleep(for: .milliseconds(1)) }
  }

  @Test("what was durable at the end of one run is stored by the next, once, and its sequence goes on")
  func restart() async throws {
    let (journals, store) = (TemporaryJournals(), MemoryStore(cursors: ["p": 10]))
    do {
      let fixture = try PipelineFixture(journals, store: store)
      try await fixture.load("p")
      expect(await fixture.submit("p", 11, ["first"]).1, "reached(committed")
      store.closeGate()
      for sequence in 12...60 as ClosedRange<UInt64> {
        expect(await fixture.submit("p", sequence, ["\(sequence)"], level: .durable).1, "reached(durable")
      }
      expect(await fixture.submitOwn(["own"], level: .durable), "reached(durable")
      fixture.pipeline.stop(deadline: .zero)
    }
    #expect(store.stored.deviceIDs == ["first"])
    let fixture = try PipelineFixture(journals, store: store, isGateClosed: true)
    #expect(try await fixture.open("p", Owner()) == 60)
    store.openGate()
    try await fixture.untilStored(51)
    #expect(store.stored.deviceIDs == ["first"] + (12...60).map { "\($0)" } + ["own"])
    #expect(store.stored.cursors["p"] == 60)
    expect(await fixture.submit("p", 60).1, "duplicate(committed)")
    expect(await fixture.submit("p", 61, ["after"]).1, "reached(committed")
  }

  @Test("a full journal takes nothing, says so, and takes again when the database has taken some") func full()
    async throws {
    let fixture = try PipelineFixture(maximumJournalBytes: 128 << 10, limits: Self.smallMemory)
    try await fixture.load("p")
    fixture.store.closeGate()
    let devices = Array(repeating: String(repeating: "x", count: 100), count: 20)
    var sequence: UInt64 = 1
    var refusal: Admission?
    while refusal == nil {
      let (admission, _) = await fixture.submit("p", sequence, devices, level: .durable)
      if admission == .accepted { sequence += 1 } else { refusal = admission }
    }
    guard case .overloaded(let status) = refusal else {
      Issue.record("\(String(describing: refusal))")
      return
    }
    #expect(status.code == .resourceExhausted)
    #expect(status.message.contains("131072"))
    #expect(sequence > 20)
    fixture.store.openGate()
    while await fixture.submit("p", sequence, devices).1 == nil { try await Task.sleep(for: .milliseconds(1)) }
    #expect(fixture.store.stored.deviceIDs.count == Int(sequence) * 20)
  }

  @Test("backfill waits for live batches, has its share, and never overtakes itself") func lanes() async throws {
    var limits = IngestPipeline.Limits()
    (limits.maximumTransactionReadings, limits.maximumBackfillReadings) = (10, 10)
    let fixture = try PipelineFixture(limits: limits)
    try await fixture.load("old")
    try await fixture.load("new")
    fixture.store.closeGate()
    for sequence in 1...40 as ClosedRange<UInt64> {
      let devices = Array(repeating: "old\(sequence)", count: 10)
      expect(await fixture.submit("old", sequence, devices, level: .durable, .historical).1, "reached(durable")
    }
    for sequence in 1...40 as ClosedRange<UInt64> {
      let devices = Array(repeating: "new\(sequence)", count: 10)
      expect(await fixture.submit("new", sequence, devices, level: .durable).1, "reached(durable")
    }
    #expect(await fixture.submit("new", 41, level: .durable, .historical).0 == .otherPriority)
    fixture.store.openGate()
    try await fixture.untilStored(800)
    let stored = fixture.store.stored.deviceIDs
    let lastNew = try #require(stored.lastIndex { $0.hasPrefix("new") })
    let oldBefore = stored[..<lastNew].filter { $0.hasPrefix("old") }.count
    // One may have been on its way before the first live batch came.
    #expect((100...150).contains(oldBefore), "\(oldBefore)")
    #expect(stored.filter { $0.hasPrefix("old") } == (1...40).flatMap { Array(repeating: "old\($0)", count: 10) })
    expect(await fixture.submit("new", 41, level: .durable, .historical).1, "reached(durable")
  }

  @Test("a producer that changed its journal goes on behind the newest batch of both after a restart",
        arguments: [(IngestPriority.live, IngestPriority.historical), (.historical, .live)])
  func changedLane(first: IngestPriority, second: IngestPriority) async throws {
    let (journals, store) = (TemporaryJournals(), MemoryStore())
    do {
      let fixture = try PipelineFixture(journals, store: store)
      try await fixture.load("p")
      // In the database, and still in its segment.
      for sequence in 1...3 as ClosedRange<UInt64> {
        expect(await fixture.submit("p", sequence, ["\(sequence)"], first).1, "reached(committed")
      }
      store.closeGate()
      for sequence in 4...6 as ClosedRange<UInt64> {
        expect(await fixture.submit("p", sequence, ["\(sequence)"], level: .durable, second).1, "reached(durable")
      }
      fixture.pipeline.stop(deadline: .zero)
    }
    let fixture = try PipelineFixture(journals, store: store, isGateClosed: true)
    #expect(try await fixture.open("p", Owner(), second) == 6)
    expect(await fixture.submit("p", 5, level: .durable, second).1, "duplicate(durable)")
    store.openGate()
    expect(await fixture.submit("p", 7, ["7"], second).1, "reached(committed")
    #expect(store.stored.deviceIDs == (1...7).map { "\($0)" })
  }

  @Test("a lane with its own backlog survives a restart with its own order") func bothRestart() async throws {
    let (journals, store) = (TemporaryJournals(), MemoryStore())
    do {
      let fixture = try PipelineFixture(journals, store: store, limits: Self.smallMemory)
      try await fixture.load("old")
      try await fixture.load("new")
      store.closeGate()
      for sequence in 1...200 as ClosedRange<UInt64> {
        expect(await fixture.submit("old", sequence, ["o\(sequence)"], level: .durable, .historical).1, "reached")
        expect(await fixture.submit("new", sequence, ["n\(sequence)"], level: .durable).1, "reached")
      }
      fixture.pipeline.stop(deadline: .zero)
    }
    store.openGate()
    let fixture = try PipelineFixture(journals, store: store, limits: Self.smallMemory)
    try await fixture.untilStored(400)
    let stored = store.stored.deviceIDs
    #expect(stored.filter { $0.hasPrefix("o") } == (1...200).map { "o\($0)" })
    #expect(stored.filter { $0.hasPrefix("n") } == (1...200).map { "n\($0)" })
    #expect(fixture.pipeline.counters.received == fixture.pipeline.counters.stored)
  }
}
