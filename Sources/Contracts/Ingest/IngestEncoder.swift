// Writes the answer to a batch: the hot message on the way out.
package import Telemetry

/// Encodes `esp.v1.BatchResult` as libprotobuf-c does, without it.
package enum IngestEncoder {
  /// Appends a message whose only field, number `field`, is the result: field 1 for IngestResponse and
  /// IngestReadingResponse, 2 for IngestStreamResponse.
  package static func encode(_ result: BatchResult, field: Int, into output: inout [UInt8]) {
    var verdictBytes = 0
    for verdict in result.verdicts { verdictBytes += fieldByteCount(7, byteCount: byteCount(verdict)) }
    var numbers = WireNumbers()
    numbers.append(WireTag(UInt32(field), .bytes))
    numbers.append(varint: UInt64(byteCount(result) + verdictBytes))
    numbers.append(field: 1, varint: result.sequence)
    numbers.append(field: 2, varint: UInt64(result.ackLevel.rawValue))
    numbers.append(field: 3, varint: UInt64(result.stored))
    numbers.append(field: 4, varint: UInt64(result.duplicate))
    numbers.append(field: 5, varint: UInt64(result.quarantined))
    numbers.append(field: 6, varint: UInt64(result.rejected))
    numbers.append(to: &output)
    for verdict in result.verdicts { append(verdict, to: &output) }
  }

  private static func append(_ verdict: Verdict, to output: inout [UInt8]) {
    output.append(WireTag(7, .bytes))
    output.append(varint: UInt64(byteCount(verdict)))
    output.append(field: 1, varint: UInt64(verdict.firstIndex))
    output.append(field: 2, varint: UInt64(verdict.count))
    output.append(field: 3, varint: UInt64(verdict.outcome.rawValue))
    output.append(field: 4, bytes: verdict.reason.rawValue.utf8)
    output.append(field: 5, bytes: verdict.field.utf8)
    output.append(field: 6, varint: verdict.isRetryable ? 1 : 0)
  }

  /// Without the verdicts.
  private static func byteCount(_ result: BatchResult) -> Int {
    fieldByteCount(1, varint: result.sequence) + fieldByteCount(2, varint: UInt64(result.ackLevel.rawValue))
      + fieldByteCount(3, varint: UInt64(result.stored)) + fieldByteCount(4, varint: UInt64(result.duplicate))
      + fieldByteCount(5, varint: UInt64(result.quarantined)) + fieldByteCount(6, varint: UInt64(result.rejected))
  }

  private static func byteCount(_ verdict: Verdict) -> Int {
    fieldByteCount(1, varint: UInt64(verdict.firstIndex)) + fieldByteCount(2, varint: UInt64(verdict.count))
      + fieldByteCount(3, varint: UInt64(verdict.outcome.rawValue))
      + fieldByteCount(4, byteCount: verdict.reason.rawValue.utf8.count)
      + (verdict.field.isEmpty ? 0 : fieldByteCount(5, byteCount: verdict.field.utf8.count))
      + (verdict.isRetryable ? 2 : 0)
  }
}
