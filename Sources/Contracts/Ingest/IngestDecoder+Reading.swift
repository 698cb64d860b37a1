// One esp.v1.Reading on its own: what a dead letter keeps.
internal import Status
package import Telemetry

extension IngestDecoder {
  /// What became of a single reading.
  package enum ReadingFate: Sendable, Equatable {
    /// Appended to the batch.
    case valid
    case invalid(ReadingRules.Problem)
    /// The bytes are no `esp.v1.Reading`.
    case unreadable
  }

  /// Judges an `esp.v1.Reading` by the rules of ingest. `now` is in microseconds since 1970. The batch is as it was,
  /// unless the reading is valid.
  package func decodeReading(_ bytes: Span<UInt8>, now: Int64, into batch: inout ReadingBatch) -> ReadingFate {
    var assembly = IngestAssembly(rules: rules, now: now)
    assembly.begin(&batch)
    defer { assembly.end(&batch) }
    do throws(WireError) {
      try assembly.add(row: 0..<bytes.count, in: bytes)
    } catch {
      return .unreadable
    }
    // Of one reading there is one verdict at most.
    if let verdict = assembly.result.verdicts.first {
      return .invalid(ReadingRules.Problem(verdict.reason, verdict.field))
    }
    _ = assembly.head(producerID: "", sequence: 0, ackLevel: .unspecified)
    return .valid
  }
}
