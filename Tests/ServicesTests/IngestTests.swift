// The unary ingest methods: verdicts, the gathering of calls, sequences, overload.
import Contracts
import PostgresStore
import Protobuf
import Telemetry
import TestSupport
import Testing

@Suite("Unary ingest") struct IngestTests {
  func withService(cursors: [String: UInt64] = [:], maximumQueuedReadings: Int = 1_000_000,
                   _ body: (TelemetryFixture) async throws -> Void) async throws {
    let fixture = try TelemetryFixture(cursors: cursors, maximumQueuedReadings: maximumQueuedReadings)
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
        calls.append(try await call(fixture, .with { $0.readings = [.good("plain-\(sequence)")] }))
        calls.append(try await call(fixture, .with {
          $0.producerID = "gw"
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
        $0.readings = [.good()]
      }
      for _ in 0..<2 {
        let call = try await call(fixture, request)
        #expect(try await result(call).sequence == 7)
      }
      #expect(fixture.store.stored.deviceIDs.count == 2)
    }
  }

  @Test("a full queue refuses a call and says when to come again") func overload() async throws {
    try await withService(maximumQueuedReadings: 1) { fixture in
      fixture.store.closeGate()
      var calls: [TestCall] = []
      for _ in 0..<6 { calls.append(try await call(fixture, .with { $0.readings = [.good(), .good()] })) }
      #expect(try await calls[5].status() == "8")
      #expect(try await calls[5].message().contains("wait for the database"))
      fixture.store.openGate()
      #expect(try await result(calls[0]).stored == 2)
    }
  }

  @Test("a reading that the database refuses is REJECTED, and the server goes on") func refused() async throws {
    try await withService { fixture in
      let answer = try await result(call(fixture, .with { $0.readings = [.good(MemoryStore.poison)] }))
      #expect(answer.rejected == 1)
      #expect(answer.verdicts.first?.reason == "STORE_FAILED")
      let next = try await call(fixture, .with { $0.readings = [.good()] })
      #expect(try await result(next).stored == 1)
    }
  }
}
