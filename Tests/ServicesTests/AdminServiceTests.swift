// What operators are told of the server and its streams, and what they may do to one.
import Contracts
import HTTPCore
import Protobuf
import Services
import TestSupport
import Testing

@Suite("Admin service") struct AdminServiceTests {
  func withService(_ body: (TelemetryFixture) async throws -> Void) async throws {
    let fixture = try TelemetryFixture()
    do { try await body(fixture) } catch { Issue.record(error) }
    try await fixture.stop()
  }

  /// A whole call of the admin service: its answer, or its status.
  func ask<Answer: ProtobufMessage>(
    _ fixture: TelemetryFixture, _ method: String, _ request: some ProtobufMessage, as type: Answer.Type
  ) async throws -> (answer: Answer?, status: String, message: String) {
    let call = try await fixture.open(method, of: "AdminService")
    try await call.send(request)
    try await call.end()
    let status = try await call.status()
    let answer = status == "0" ? try await call.answers(1, as: type).first : nil
    return (answer, status, try await call.message())
  }

  func list(_ fixture: TelemetryFixture, size: UInt32 = 0,
            token: String = "") async throws -> ESPV1.ListStreamsResponse {
    let request = ESPV1.ListStreamsRequest.with {
      $0.pageSize = size
      $0.pageToken = token
    }
    return try #require(try await ask(fixture, "ListStreams", request, as: ESPV1.ListStreamsResponse.self).answer)
  }

  func kill(_ fixture: TelemetryFixture, _ id: UInt64, _ reason: String) async throws
    -> (status: String, message: String) {
    let request = ESPV1.KillStreamRequest.with {
      $0.streamID = id
      $0.reason = reason
    }
    let done = try await ask(fixture, "KillStream", request, as: ESPV1.KillStreamResponse.self)
    return (done.status, done.message)
  }

  @Test("an ingest stream is listed with its producer, its acknowledged sequence and what waits")
  func ingest() async throws {
    try await withService { fixture in
      let call = try await fixture.open("IngestStream")
      try await call.send(ESPV1.IngestStreamRequest.open("gw", .committed))
      try await call.send(ESPV1.IngestStreamRequest.batch(1, [.good(), .good()]))
      _ = try await call.answers(2, as: ESPV1.IngestStreamResponse.self)
      fixture.store.closeGate()
      for sequence in 2...4 as ClosedRange<UInt64> {
        try await call.send(ESPV1.IngestStreamRequest.batch(sequence, [.good()]))
      }
      let streams = try await list(fixture).streams
      try #require(streams.count == 1)
      #expect(streams[0].method == "/esp.v1.TelemetryService/IngestStream" && streams[0].peer == "test")
      #expect(streams[0].receivedMessages == 5 && streams[0].sentMessages == 2)
      #expect(streams[0].principal == "" && streams[0].windows == nil && streams[0].timeLeft == nil)
      #expect(streams[0].ingest == ESPV1.IngestProgress.with {
        $0.producerID = "gw"
        $0.ackedSequence = 1
        $0.pendingBatches = 3
        $0.pendingReadings = 3
      })
      fixture.store.openGate()
      _ = try await call.answers(5, as: ESPV1.IngestStreamResponse.self)
      #expect(try await list(fixture).streams.first?.ingest?.ackedSequence == 4)
      #expect(try await list(fixture).streams.first?.ingest?.pendingBatches == 0)
    }
  }

  @Test("pages follow each other and the last has no token") func pages() async throws {
    try await withService { fixture in
      #expect(try await list(fixture) == ESPV1.ListStreamsResponse())
      for _ in 0..<5 { _ = try await fixture.open("IngestStream") }
      let all = try await list(fixture)
      #expect(all.streams.count == 5 && all.nextPageToken == "")
      var (seen, token): ([UInt64], String) = ([], "")
      for count in [2, 2, 1] {
        let page = try await list(fixture, size: 2, token: token)
        #expect(page.streams.count == count)
        seen += page.streams.map(\.streamID)
        token = page.nextPageToken
      }
      #expect(seen == all.streams.map(\.streamID) && token == "")
    }
  }

  @Test("pages that nobody can have are refused, naming the field", arguments: [
    (1001, "", "page_size"), (UInt32.max, "", "page_size"), (0, "x", "page_token"), (0, "-1", "page_token"),
    (0, "18446744073709551616", "page_token"),
  ] as [(UInt32, String, String)])
  func badPages(size: UInt32, token: String, field: String) async throws {
    try await withService { fixture in
      let request = ESPV1.ListStreamsRequest.with {
        $0.pageSize = size
        $0.pageToken = token
      }
      let refused = try await ask(fixture, "ListStreams", request, as: ESPV1.ListStreamsResponse.self)
      #expect(refused.status == "3" && refused.message.hasPrefix(field), "\(refused.message)")
    }
  }

  @Test("a killed stream is ABORTED with the reason, and its producer goes on where it was") func kill() async throws {
    try await withService { fixture in
      let call = try await fixture.open("IngestStream")
      try await call.send(ESPV1.IngestStreamRequest.open("gw"))
      try await call.send(ESPV1.IngestStreamRequest.batch(1, [.good()]))
      _ = try await call.answers(2, as: ESPV1.IngestStreamResponse.self)
      let id = try #require(try await list(fixture).streams.first?.streamID)
      #expect(try await kill(fixture, id, "a 100 % wrong gateway").status == "0")
      #expect(try await call.status() == "10")
      #expect(try await call.message() == "ended by an operator: a 100 %25 wrong gateway")
      #expect(try await list(fixture).streams == [])
      #expect(try await kill(fixture, id, "again").status == "5")

      let next = try await fixture.open("IngestStream")
      try await next.send(ESPV1.IngestStreamRequest.open("gw"))
      try await next.send(ESPV1.IngestStreamRequest.batch(2, [.good()]))
      _ = try await next.answers(2, as: ESPV1.IngestStreamResponse.self)
      #expect(fixture.store.stored.cursors["gw"] == 2)
    }
  }

  @Test("what can't be killed is said, and no stream ends", arguments: [
    (0, "r", "3", "stream_id"), (1 << 60, "r", "5", "no stream"), (1 << 60, "", "3", "reason"),
    (1 << 60, String(repeating: "é", count: 129), "3", "reason"),
  ] as [(UInt64, String, String, String)])
  func badKills(id: UInt64, reason: String, status: String, phrase: String) async throws {
    try await withService { fixture in
      _ = try await fixture.open("IngestStream")
      let refused = try await kill(fixture, id, reason)
      #expect(refused.status == status && refused.message.hasPrefix(phrase), "\(refused)")
      #expect(try await list(fixture).streams.count == 1)
    }
  }

  @Test("facts are there from the moment in which the server listens") func facts() async throws {
    try await withService { fixture in
      let request = ESPV1.GetServerInfoRequest()
      let early = try await ask(fixture, "GetServerInfo", request, as: ESPV1.GetServerInfoResponse.self)
      #expect(early.status == "14")
      fixture.facts.publish(.with { $0.version = "7" }, ingest: fixture.ingestFacts, budget: ByteBudget(),
                            connectionCount: { 42 })
      let call = try await fixture.open("IngestStream")
      try await call.send(ESPV1.IngestStreamRequest.open("gw", .committed))
      try await call.send(ESPV1.IngestStreamRequest.batch(1, [.good(), .good("no good")]))
      _ = try await call.answers(2, as: ESPV1.IngestStreamResponse.self)
      let info = try #require(
        try await ask(fixture, "GetServerInfo", request, as: ESPV1.GetServerInfoResponse.self).answer)
      #expect(info.version == "7" && info.openConnections == 42 && info.openStreams == 1)
      #expect(info.uptime != nil && info.startTime?.microseconds != nil)
      let ingest = try #require(info.ingest)
      #expect([ingest.received, ingest.stored, ingest.rejected, ingest.inFlight] == [2, 1, 1, 0])
      #expect(info.ackLatencies.map(\.ackLevel) == [.accepted, .durable, .committed])
      #expect(info.ackLatencies.map(\.count) == [0, 0, 1])
      #expect(info.journals.map(\.name) == ["live", "backfill"])
      let quotas = try #require(
        try await ask(fixture, "GetQuota", ESPV1.GetQuotaRequest(), as: ESPV1.GetQuotaResponse.self).answer).quotas
      #expect(quotas.map(\.subject) == ["connections", "memory", "journal", "journal"])
      #expect(quotas[0].used == 42 && quotas.dropFirst().allSatisfy { $0.unit == "B" && $0.used < $0.limit })
      #expect(info.journals.allSatisfy { $0.condition == .ok && $0.usedBytes <= $0.limitBytes && $0.damages == 0 })
    }
  }
}
