// The unary ingest methods: verdicts, the gathering of calls, sequences, overload.
import Contracts
import PostgresStore
import Protobuf
import Telemetry
import TestSupport
import Testing

@Suite("Unary ingest") struct IngestTests {
  func withService(cursors: [String: UInt64] = [:], maximumJournalBytes: Int = 64 << 20,
                   _ body: (TelemetryFixture) async throws -> Void) async throws {
    let fixture = try TelemetryFixture(cursors: cursors, maximumJournalBytes: maximumJournalBytes)
    do { try await body(fixture) } catch { Issue.record(error) }
    try await fixture.stop()
  }

  func call(_ fixture: TelemetryFixture, _ request: ESPV1.IngestRequest) async throws -> TestCall {
    let call = try await fixture.open("Ingest")
    try await call.send(request)
    try await call.end()
    return call
  }

  func result(_ call: TestCall) async throws -> ESPV1.BatchResult {
    try await call.answers(1, as: ESPV1.IngestResponse.self)[0].result ?? ESPV1.BatchResult()
  }

  @Test("each reading that is not stored has a verdict; the others are stored") func verdicts() async throws {
    try await withService { fixture in
      var hot = ESPV1.Reading.good()
      hot.temperature = 201
      let call = try await call(fixture, .with { $0.readings = [.good("a"), hot, hot, .good("no good"), .good("b")] })
      let result = try await result(call)
      #expect([result.stored, result.quarantined, result.rejected, result.duplicate] == [2, 2, 1, 0])
      #expect(result.verdicts.map(\.firstIndex) == [1, 3])
      #expect(result.verdicts.map(\.count) == [2, 1])
      #expect(result.verdicts.map(\.reason) == ["OUT_OF_RANGE", "INVALID_DEVICE_ID"])
      while fixture.store.stored.deviceIDs.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
      #expect(fixture.store.stored.deviceIDs == ["a", "b"])
      #expect(fixture.store.stored.deadLetters.map(\.letter.field) == ["temperature", "temperature"])
    }
  }

  @Test("no readings is an error, and so is a reading that is missing") func empty() async throws {
    try await withService { fixture in
      #expect(try await call(fixture, ESPV1.IngestRequest()).status() == "3")
      let one = try await fixture.open("IngestReading")
      try await one.send(ESPV1.IngestReadingRequest())
      try await one.end()
      #expect(try await one.status() == "3")
    }
  }

  @Test("calls with a sequence and calls without it do not mix, whatever their order") func mixed() async throws {
    try await withService { fixture in
      fixture.store.closeGate()
      var calls: [TestCall] = []
      for sequence in 1...10 as ClosedRange<UInt64> {
        calls.append(try await call(fixture, .with {
          $0.ackLevel = .committed
          $0.readings = [.good("plain-\(sequence)")]
        }))
        calls.append(try await call(fixture, .with {
          $0.producerID = "gw"
          $0.ackLevel = .committed
          $0.sequence = sequence
          $0.readings = [.good("claimed-\(sequence)")]
        }))
      }
      fixture.store.openGate()
      for call in calls { #expect(try await result(call).stored == 1) }
      let expected = (1...10).flatMap { ["claimed-\($0)", "plain-\($0)"] }
      #expect(fixture.store.stored.deviceIDs.sorted() == expected.sorted())
      #expect(fixture.store.stored.cursors["gw"] == 10)
    }
  }

  @Test("a pair of producer and sequence is stored once") func idempotent() async throws {
    try await withService(cursors: ["gw": 3]) { fixture in
      let request = ESPV1.IngestRequest.with {
        $0.producerID = "gw"
        $0.sequence = 4
        $0.ackLevel = .committed
        $0.readings = [.good(), .good()]
      }
      let (first, second) = (try await call(fixture, request), try await call(fixture, request))
      #expect(try await result(first).stored == 2)
      #expect(try await result(second).duplicate == 2)
      #expect(fixture.store.stored.deviceIDs.count == 2)
    }
  }

  @Test("a sequence without a producer is only given back") func sequenceAlone() async throws {
    try await withService { fixture in
      let request = ESPV1.IngestRequest.with {
        $0.sequence = 7
        $0.ackLevel = .committed
        $0.readings = [.good()]
      }
      for _ in 0..<2 {
        let call = try await call(fixture, request)
        #expect(try await result(call).sequence == 7)
      }
      #expect(fixture.store.stored.deviceIDs.count == 2)
    }
  }

  @Test("a full journal refuses a call, names limit and use, and says when to come again")
  func overload() async throws {
    try await withService(maximumJournalBytes: 128 << 10) { fixture in
      fixture.store.closeGate()
      let readings = (0..<400).map { _ in ESPV1.Reading.good() }
      var stored = 0
      while true {
        let call = try await call(fixture, .with { $0.readings = readings })
        let status = try await call.status()
        if status == "0" { stored += 1; continue }
        #expect(status == "8")
        #expect(try await call.message().contains("of 131072 bytes are in use"))
        break
      }
      #expect(stored > 0)
      fixture.store.openGate()
      while fixture.store.stored.deviceIDs.count < stored * 400 { try await Task.sleep(for: .milliseconds(1)) }
      while try await call(fixture, .with { $0.readings = [.good()] }).status() != "0" {}
    }
  }

  @Test("calls of all levels in one turn of the loop: each gets the level that it asked for")
  func levels() async throws {
    try await withService { fixture in
      let levels: [ESPV1.AckLevel] = [.accepted, .durable, .committed, .unspecified]
      var calls: [TestCall] = []
      for level in levels {
        calls.append(try await call(fixture, .with { $0.readings = [.good()]; $0.ackLevel = level }))
      }
      var reached: [ESPV1.AckLevel] = []
      for call in calls { reached.append(try await result(call).ackLevel) }
      #expect(reached == [.accepted, .durable, .committed, .durable])
    }
  }

  @Test("a reading that the database refuses is quarantined alone, in its place") func refused() async throws {
    try await withService { fixture in
      var hot = ESPV1.Reading.good()
      hot.temperature = 201
      let answer = try await result(call(fixture, .with {
        $0.ackLevel = .committed
        $0.readings = [.good("a"), hot, .good("b"), .good(MemoryStore.poison), .good("c")]
      }))
      #expect([answer.stored, answer.quarantined] == [3, 2])
      #expect(answer.verdicts.map(\.reason) == ["OUT_OF_RANGE", "STORE_FAILED"])
      #expect(answer.verdicts.map(\.firstIndex) == [1, 3])
      #expect(fixture.store.stored.deviceIDs == ["a", "b", "c"])
      let letter = try #require(fixture.store.stored.deadLetters.last?.letter)
      #expect(try ESPV1.Reading(serialized: letter.original.span).deviceID == MemoryStore.poison)
      let next = try await call(fixture, .with { $0.readings = [.good()] })
      #expect(try await result(next).stored == 1)
    }
  }
}
