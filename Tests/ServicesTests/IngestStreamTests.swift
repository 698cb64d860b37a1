// The rules of an ingest stream: opening, order, duplicates, gaps, take-over, overload, drain.
import Contracts
import Services
import TestSupport
import Testing

@Suite("Ingest stream") struct IngestStreamTests {
  typealias Answer = ESPV1.IngestStreamResponse

  func withService(cursors: [String: UInt64] = [:], maximumJournalBytes: Int = 64 << 20,
                   streamLimits: IngestStreamLimits = TelemetryFixture.withoutHeartbeats,
                   _ body: (TelemetryFixture) async throws -> Void) async throws {
    let fixture = try TelemetryFixture(cursors: cursors, maximumJournalBytes: maximumJournalBytes,
                                       streamLimits: streamLimits)
    do { try await body(fixture) } catch { Issue.record(error) }
    try await fixture.stop()
  }

  func result(_ answer: Answer) -> ESPV1.BatchResult {
    guard case .result(let result) = answer.message else {
      Issue.record("no result: \(answer)")
      return ESPV1.BatchResult()
    }
    return result
  }

  @Test("a stream opens at the stored cursor, and the next sequences are stored in order") func resume() async throws {
    try await withService(cursors: ["gw": 41]) { fixture in
      let call = try await fixture.open("IngestStream")
      try await call.send(ESPV1.IngestStreamRequest.open("gw", .committed))
      for sequence in 42...50 as ClosedRange<UInt64> {
        try await call.send(ESPV1.IngestStreamRequest.batch(sequence, [.good(), .good()]))
      }
      try await call.end()
      let answers = try await call.answers(10, as: Answer.self)
      guard case .opened(let opened) = answers[0].message else { Issue.record("not opened"); return }
      #expect(opened.lastSequence == 41)
      #expect(answers.dropFirst().map { result($0).sequence } == Array(42...50))
      #expect(answers.dropFirst().allSatisfy { result($0).stored == 2 && result($0).ackLevel == .committed })
      #expect(try await call.status() == "0")
      #expect(fixture.store.stored.cursors["gw"] == 50)
      #expect(fixture.store.stored.deviceIDs.count == 18)
    }
  }

  @Test("a duplicate between new batches is answered in its place") func duplicateInOrder() async throws {
    try await withService(cursors: ["gw": 5]) { fixture in
      let call = try await fixture.open("IngestStream")
      try await call.send(ESPV1.IngestStreamRequest.open("gw", .committed))
      _ = try await call.answers(1, as: Answer.self)
      fixture.store.closeGate()
      for sequence in [6, 3, 7] as [UInt64] {
        try await call.send(ESPV1.IngestStreamRequest.batch(sequence, [.good()]))
      }
      fixture.store.openGate()
      let results = try await call.answers(4, as: Answer.self).dropFirst().map(result)
      #expect(results.map(\.sequence) == [6, 3, 7])
      #expect(results.map(\.duplicate) == [0, 1, 0])
      #expect(results[1].verdicts.first?.reason == "DUPLICATE_SEQUENCE")
    }
  }

  @Test("a gap ends the stream and names the sequence that was expected") func gap() async throws {
    try await withService { fixture in
      let call = try await fixture.open("IngestStream")
      try await call.send(ESPV1.IngestStreamRequest.open("gw"))
      _ = try await call.answers(1, as: Answer.self)
      try await call.send(ESPV1.IngestStreamRequest.batch(2, [.good()]))
      #expect(try await call.status() == "9")
      #expect(try await call.message().hasSuffix("the next one is 1"))
    }
  }

  @Test("what a stream may not send", arguments: [
    ([ESPV1.IngestStreamRequest.batch(1, [])], "the first message of a stream is open"),
    ([.open("gw"), .open("gw")], "open comes once"), ([.open("")], "producer_id"), ([.open("a b")], "producer_id"),
    ([ESPV1.IngestStreamRequest()], "neither open nor batch"), ([.open("gw"), .batch(0, [])], "batch.sequence: is 0"),
  ])
  func misuse(messages: [ESPV1.IngestStreamRequest], text: String) async throws {
    try await withService { fixture in
      let call = try await fixture.open("IngestStream")
      for message in messages { try await call.send(message) }
      #expect(try await call.status() == "3")
      let message = try await call.message()
      #expect(message.contains(text), "\(message)")
    }
  }

  @Test("an empty batch is a step of the sequence") func emptyBatch() async throws {
    try await withService { fixture in
      let call = try await fixture.open("IngestStream")
      try await call.send(ESPV1.IngestStreamRequest.open("gw", .committed))
      try await call.send(ESPV1.IngestStreamRequest.batch(1, []))
      #expect(try await result(call.answers(2, as: Answer.self)[1]).sequence == 1)
      #expect(fixture.store.stored.cursors["gw"] == 1)
    }
  }

  @Test("a second stream of the producer takes over; the first ends with ABORTED") func takeOver() async throws {
    try await withService { fixture in
      let first = try await fixture.open("IngestStream")
      try await first.send(ESPV1.IngestStreamRequest.open("gw"))
      try await first.send(ESPV1.IngestStreamRequest.batch(1, [.good()]))
      _ = try await first.answers(2, as: Answer.self)
      let second = try await fixture.open("IngestStream")
      try await second.send(ESPV1.IngestStreamRequest.open("gw"))
      #expect(try await first.status() == "10")
      try await second.send(ESPV1.IngestStreamRequest.batch(2, [.good()]))
      #expect(try await result(second.answers(2, as: Answer.self)[1]).stored == 1)
    }
  }

  @Test("a full journal holds a stream up; its batches keep their order and all are stored")
  func overload() async throws {
    try await withService(maximumJournalBytes: 128 << 10) { fixture in
      let call = try await fixture.open("IngestStream")
      try await call.send(ESPV1.IngestStreamRequest.open("gw"))
      _ = try await call.answers(1, as: Answer.self)
      fixture.store.closeGate()
      let readings = (0..<200).map { _ in ESPV1.Reading.good() }
      for sequence in 1...40 as ClosedRange<UInt64> {
        try await call.send(ESPV1.IngestStreamRequest.batch(sequence, readings))
      }
      #expect(try await call.uncreditedCount() > 0, "the stream is still read")
      fixture.store.openGate()
      let results = try await call.answers(41, as: Answer.self).dropFirst().map(result)
      #expect(results.map(\.sequence) == Array(1...40))
      #expect(results.allSatisfy { $0.ackLevel == .durable })
      while fixture.store.stored.deviceIDs.count < 8000 { try await Task.sleep(for: .milliseconds(1)) }
      #expect(fixture.store.stored.deviceIDs.count == 8000)
    }
  }

  @Test("each level is answered when it is reached, and states it") func levels() async throws {
    try await withService { fixture in
      let levels: [ESPV1.AckLevel] = [.accepted, .durable, .unspecified, .committed]
      var calls: [TestCall] = []
      for level in levels {
        let call = try await fixture.open("IngestStream")
        try await call.send(ESPV1.IngestStreamRequest.open("gw\(level.rawValue)", level))
        _ = try await call.answers(1, as: Answer.self)
        calls.append(call)
      }
      fixture.store.closeGate()
      for call in calls { try await call.send(ESPV1.IngestStreamRequest.batch(1, [.good()])) }
      var reached: [ESPV1.AckLevel] = []
      for (index, call) in calls.enumerated() {
        if index == 3 { fixture.store.openGate() }
        reached.append(try await result(call.answers(2, as: Answer.self)[1]).ackLevel)
      }
      #expect(reached == [.accepted, .durable, .durable, .committed])
      while fixture.store.stored.deviceIDs.count < 4 { try await Task.sleep(for: .milliseconds(1)) }
      #expect(fixture.store.stored.deviceIDs.count == 4)
    }
  }

  @Test("a producer goes from backfill to live only when its backfill is in the database") func lanes() async throws {
    try await withService { fixture in
      let old = try await fixture.open("IngestStream")
      try await old.send(ESPV1.IngestStreamRequest.open("gw", isHistorical: true))
      _ = try await old.answers(1, as: Answer.self)
      fixture.store.closeGate()
      for sequence in 1...3 as ClosedRange<UInt64> {
        try await old.send(ESPV1.IngestStreamRequest.batch(sequence, [.good("old")]))
      }
      _ = try await old.answers(4, as: Answer.self)
      let new = try await fixture.open("IngestStream")
      try await new.send(ESPV1.IngestStreamRequest.open("gw"))
      fixture.store.openGate()
      guard case .opened(let opened) = try await new.answers(1, as: Answer.self)[0].message else {
        Issue.record("not opened")
        return
      }
      #expect(opened.lastSequence == 3)
      #expect(fixture.store.stored.cursors["gw"] == 3)
      try await new.send(ESPV1.IngestStreamRequest.batch(4, [.good("new")]))
      _ = try await new.answers(2, as: Answer.self)
    }
  }

  @Test("with too many batches unanswered a stream is not read until half are answered") func window() async throws {
    var limits = TelemetryFixture.withoutHeartbeats
    limits.maximumPendingBatches = 4
    try await withService(streamLimits: limits) { fixture in
      let call = try await fixture.open("IngestStream")
      try await call.send(ESPV1.IngestStreamRequest.open("gw", .committed))
      _ = try await call.answers(1, as: Answer.self)
      fixture.store.closeGate()
      for sequence in 1...20 as ClosedRange<UInt64> {
        try await call.send(ESPV1.IngestStreamRequest.batch(sequence, [.good()]))
      }
      #expect(try await call.uncreditedCount() > 0)
      fixture.store.openGate()
      #expect(try await call.answers(21, as: Answer.self).dropFirst().map { result($0).sequence } == Array(1...20))
      #expect(try await call.uncreditedCount() == 0)
    }
  }

  @Test("a stream whose results are not read is not read either, until they are") func unread() async throws {
    var limits = TelemetryFixture.withoutHeartbeats
    limits.maximumUnreadBytes = 0
    try await withService(streamLimits: limits) { fixture in
      let call = try await fixture.open("IngestStream")
      try await call.send(ESPV1.IngestStreamRequest.open("gw"))
      _ = try await call.answers(1, as: Answer.self)
      try await call.read()
      for sequence in 1...20 as ClosedRange<UInt64> {
        try await call.send(ESPV1.IngestStreamRequest.batch(sequence, [.good()]))
      }
      while try await call.uncreditedCount() > 0 {
        try await call.read()
        try await Task.sleep(for: .milliseconds(1))
      }
      #expect(try await call.answers(21, as: Answer.self).dropFirst().map { result($0).sequence } == Array(1...20))
      // Unread results hold up what comes next.
      try await call.send(ESPV1.IngestStreamRequest.batch(21, [.good()]))
      try await call.send(ESPV1.IngestStreamRequest.batch(22, [.good()]))
      _ = try await call.answers(22, as: Answer.self)
      try await call.send(ESPV1.IngestStreamRequest.batch(23, [.good()]))
      #expect(try await call.uncreditedCount() > 0)
      try await call.read()
      #expect(try await result(call.answers(24, as: Answer.self)[23]).sequence == 23)
    }
  }

  @Test("a drain says so in the stream, answers what was taken, and ends with OK") func drain() async throws {
    try await withService { fixture in
      let call = try await fixture.open("IngestStream")
      try await call.send(ESPV1.IngestStreamRequest.open("gw", .committed))
      try await call.send(ESPV1.IngestStreamRequest.batch(1, [.good()]))
      _ = try await call.answers(2, as: Answer.self)
      fixture.store.closeGate()
      try await call.send(ESPV1.IngestStreamRequest.batch(2, [.good()]))
      try await fixture.drain()
      fixture.store.openGate()
      let answers = try await call.answers(4, as: Answer.self)
      guard case .drain(let drain) = answers[2].message else { Issue.record("no drain: \(answers[2])"); return }
      #expect(drain.lastSequence == 1)
      #expect(drain.reconnectAfter?.seconds == 1)
      #expect(result(answers[3]).sequence == 2)
      #expect(try await call.status() == "0")
    }
  }

  @Test("a silent stream hears from the server") func heartbeat() async throws {
    var limits = IngestStreamLimits()
    limits.heartbeatInterval = .milliseconds(20)
    try await withService(streamLimits: limits) { fixture in
      let call = try await fixture.open("IngestStream")
      try await call.send(ESPV1.IngestStreamRequest.open("gw"))
      let answers = try await call.answers(3, as: Answer.self)
      for answer in answers.dropFirst() {
        guard case .heartbeat(let beat) = answer.message else { Issue.record("no heartbeat: \(answer)"); return }
        #expect(beat.serverTime != nil)
      }
    }
  }
}
