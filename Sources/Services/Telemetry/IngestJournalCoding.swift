// The messages in the journal as readings, for the pipeline that writes them to the database.
internal import Contracts
internal import Journal
package import Pipeline
internal import Status
package import Telemetry

extension TelemetryService {
  /// What the pipeline reads the journal with.
  package static func journalCoding(rules: ReadingRules) -> any JournalCoding { IngestJournalCoding(rules: rules) }
}

/// Decodes what was decoded before it came into the journal, by the same rules and against the same time.
private struct IngestJournalCoding: JournalCoding {
  private let decoder: IngestDecoder

  init(rules: ReadingRules) {
    // Requests that were put together may hold more than one of them may.
    decoder = IngestDecoder(rules: rules, maximumBatchReadings: .max)
  }

  func decode(_ record: JournalRecord) -> DecodedRecord {
    do throws(RPCStatus) {
      var batch = ReadingBatch()
      let head = try head(record, into: &batch)
      return DecodedRecord(batch: batch, deadLetters: head.deadLetters, rejected: head.result.rejected)
    } catch {
      // A record of a newer version, or a decoder that takes less than it did: kept, to be looked at.
      let letter = DeadLetter(reason: .storeFailed, field: "", deviceID: "", readingTimestamp: nil,
                              original: record.payload)
      return DecodedRecord(batch: ReadingBatch(), deadLetters: [letter], rejected: 0)
    }
  }

  private func head(_ record: JournalRecord, into batch: inout ReadingBatch) throws(RPCStatus) -> IngestHead {
    let bytes = record.payload.span
    switch MessageKind(rawValue: record.kind) {
    case .ingestRequest: return try decoder.decodeIngest(bytes, now: record.receivedAt, into: &batch)
    case .streamRequest:
      if case .batch(let head) = try decoder.decodeStream(bytes, now: record.receivedAt, into: &batch) { return head }
    case nil: break
    }
    throw RPCStatus(.internal, "a record of kind \(record.kind) holds no batch")
  }

  func original(of reading: Reading, in batch: ReadingBatch) -> [UInt8] {
    ReadingWriting.serialize(reading, in: batch)
  }
}
