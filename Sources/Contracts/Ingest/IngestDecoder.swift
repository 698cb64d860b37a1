// Decodes the ingest messages straight into a batch of readings, and judges each reading on the way.
package import Status
package import Telemetry

/// The hand-written decoder of the three ingest requests (ARCHITECTURE 3): no message objects, no libprotobuf-c.
///
/// It follows the protobuf encoding: the last of a singular field wins, a message field that comes twice is merged,
/// packed and unpacked are the same, unknown fields and known ones of another wire type are skipped. What is wrong with
/// one reading is a verdict; only bytes that are no protobuf, a bad producer id and too many readings fail the call.
/// No input ends the process. The differential test holds it to libprotobuf-c and lists where the two differ.
package struct IngestDecoder: Sendable {
  package var rules: ReadingRules
  /// More readings than this in one batch are refused with INVALID_ARGUMENT (ARCHITECTURE 5).
  package var maximumBatchReadings: Int

  package init(rules: ReadingRules, maximumBatchReadings: Int = 100_000) {
    self.rules = rules
    self.maximumBatchReadings = maximumBatchReadings
  }

  /// Decodes an `esp.v1.IngestRequest` and appends its good readings. `now` is in microseconds since 1970. When it
  /// throws (INVALID_ARGUMENT), the batch is as it was.
  package func decodeIngest(
    _ bytes: Span<UInt8>, now: Int64, into batch: inout ReadingBatch
  ) throws(RPCStatus) -> IngestHead {
    let parts: BatchParts
    do throws(WireError) {
      parts = try BatchParts(.ingestRequest, in: bytes, first: 0..<bytes.count, maximum: maximumBatchReadings)
    } catch {
      throw error.status("esp.v1.IngestRequest")
    }
    return try decode(parts, of: "esp.v1.IngestRequest", bytes, now: now, into: &batch)
  }

  /// Decodes an `esp.v1.IngestReadingRequest`; one without a reading is refused.
  package func decodeIngestReading(
    _ bytes: Span<UInt8>, now: Int64, into batch: inout ReadingBatch
  ) throws(RPCStatus) -> IngestHead {
    var assembly = IngestAssembly(rules: rules, now: now)
    assembly.begin(&batch)
    defer { assembly.end(&batch) }
    do throws(WireError) {
      let pieces = try MessagePieces(of: 1, in: bytes)
      if !pieces.ranges.isEmpty { try assembly.add(row: pieces.ranges, in: bytes) }
    } catch {
      throw error.status("esp.v1.IngestReadingRequest")
    }
    guard assembly.nextIndex > 0 else { throw .invalidField("reading", "is missing") }
    return assembly.head(producerID: "", sequence: 0, ackLevel: .unspecified)
  }

  /// Decodes an `esp.v1.IngestStreamRequest`. The head of a batch has neither producer nor level: `open` had them.
  package func decodeStream(
    _ bytes: Span<UInt8>, now: Int64, into batch: inout ReadingBatch
  ) throws(RPCStatus) -> IngestStreamMessage {
    let message: StreamParts
    do throws(WireError) {
      message = try StreamParts(in: bytes, maximum: maximumBatchReadings)
    } catch {
      throw error.status("esp.v1.IngestStreamRequest")
    }
    switch message {
    case .open(let open):
      guard !open.producerID.isEmpty else { throw Self.badProducerID }
      return .open(producerID: try Self.producerID(open.producerID, in: bytes),
                   ackLevel: AckLevel(rawValue: open.ackLevel) ?? .unspecified, isHistorical: open.isHistorical)
    case .batch(let parts):
      return .batch(try decode(parts, of: "esp.v1.IngestStreamRequest", bytes, now: now, into: &batch))
    case .empty:
      return .empty
    }
  }

  private func decode(
    _ parts: BatchParts, of message: String, _ bytes: Span<UInt8>, now: Int64, into batch: inout ReadingBatch
  ) throws(RPCStatus) -> IngestHead {
    let producerID = try Self.producerID(parts.producerID, in: bytes)
    guard parts.readingCount <= maximumBatchReadings else {
      throw .invalidField("readings", """
        the batch has \(parts.readingCount) readings, at most \(maximumBatchReadings) are taken: send several batches
        """)
    }
    var assembly = IngestAssembly(rules: rules, now: now)
    assembly.begin(&batch)
    defer { assembly.end(&batch) }
    do throws(WireError) {
      try assembly.add(parts, in: bytes)
    } catch {
      throw error.status(message)
    }
    return assembly.head(producerID: producerID, sequence: parts.sequence,
                         ackLevel: AckLevel(rawValue: parts.ackLevel) ?? .unspecified)
  }

  /// An id, or nothing. Its characters are ASCII, so that a valid one is valid UTF-8.
  private static func producerID(_ range: Range<Int>, in bytes: Span<UInt8>) throws(RPCStatus) -> String {
    if range.isEmpty { return "" }
    let id = bytes.extracting(range)
    guard ReadingRules.isValidID(id) else { throw badProducerID }
    return String(decoding: [UInt8](span: id), as: UTF8.self)
  }

  private static let badProducerID = RPCStatus.invalidField(
    "producer_id", "must be 1..\(ReadingRules.maximumIDBytes) bytes of [A-Za-z0-9._:-]")
}

extension WireError {
  /// INVALID_ARGUMENT that says what is wrong and where.
  func status(_ message: String) -> RPCStatus {
    RPCStatus(.invalidArgument, "the bytes are not a valid \(message): \(fault.rawValue) at byte \(position)")
  }
}
