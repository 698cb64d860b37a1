// The hand-written answer against libprotobuf-c's.
import Contracts
import Protobuf
import Telemetry
import Testing

@Suite("Ingest encoder") struct IngestEncoderTests {
  /// The same result as a generated message.
  func message(_ result: BatchResult) -> ESPV1.BatchResult {
    .with {
      $0.sequence = result.sequence
      $0.ackLevel = .init(rawValue: result.ackLevel.rawValue)
      $0.stored = result.stored
      $0.duplicate = result.duplicate
      $0.quarantined = result.quarantined
      $0.rejected = result.rejected
      $0.verdicts = result.verdicts.map { verdict in
        .with {
          $0.firstIndex = verdict.firstIndex
          $0.count = verdict.count
          $0.outcome = .init(rawValue: verdict.outcome.rawValue)
          $0.reason = verdict.reason.rawValue
          $0.field = verdict.field
          $0.retryable = verdict.isRetryable
        }
      }
    }
  }

  func check(_ result: BatchResult) {
    var one: [UInt8] = []
    IngestEncoder.encode(result, field: 1, into: &one)
    #expect(one == ESPV1.IngestResponse.with { $0.result = message(result) }.serialized())
    #expect(one == ESPV1.IngestReadingResponse.with { $0.result = message(result) }.serialized())
    var two: [UInt8] = [1, 2]
    IngestEncoder.encode(result, field: 2, into: &two)
    #expect(two == [1, 2] + ESPV1.IngestStreamResponse.with { $0.message = .result(message(result)) }.serialized())
  }

  @Test("an empty result is sent all the same") func empty() { check(BatchResult()) }

  @Test("2,000 random results are libprotobuf-c's bytes") func random() {
    var random = SplitMix64(seed: 7)
    for _ in 0..<2_000 {
      var result = BatchResult()
      result.sequence = random.next() >> UInt64.random(in: 0...64, using: &random)
      result.ackLevel = random.pick([.unspecified, .accepted, .durable, .committed])
      result.stored = number(&random)
      result.duplicate = number(&random)
      result.quarantined = number(&random)
      result.rejected = number(&random)
      result.verdicts = (0..<random.pick([0, 0, 1, 5, 40])).map { _ in
        Verdict(firstIndex: number(&random), count: number(&random),
                outcome: random.pick([.duplicate, .quarantined, .rejected]),
                reason: random.pick(Verdict.Reason.allCases),
                field: random.pick(["", "timestamp", String(repeating: "f", count: 200)]),
                isRetryable: Bool.random(using: &random))
      }
      check(result)
    }
  }

  private func number(_ random: inout SplitMix64) -> UInt32 {
    UInt32(truncatingIfNeeded: random.next()) >> UInt32.random(in: 0...32, using: &random)
  }
}
