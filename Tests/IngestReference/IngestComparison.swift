// Holds `IngestDecoder` to libprotobuf-c on any bytes: the same messages refused, the same readings out of the others.
import Contracts
import Protobuf
import Status
import Telemetry

/// One message, read by both.
package struct IngestComparison {
  /// How far the two were compared.
  package enum Outcome: Sendable {
    case accepted
    case refused
    /// A text that is not UTF-8: libprotobuf-c's message is refused whole, ours loses one reading.
    case badText
    /// One of the known differences (`ProtobufCDifference`) is in the bytes.
    case different
  }

  /// The two read the same bytes differently, or ours broke its own promises.
  package struct Disagreement: Error, CustomStringConvertible {
    package let description: String
  }

  private static let rules = ReadingRules()
  private static let decoder = IngestDecoder(rules: rules)
  /// Microseconds since 1970.
  private let now: Int64
  private let bytes: [UInt8]

  package init(_ bytes: [UInt8], now: Int64) {
    self.bytes = bytes
    self.now = now
  }

  /// As an `esp.v1.IngestRequest`.
  @discardableResult package func ingest() throws(Disagreement) -> Outcome {
    let expected = Result { () throws(ProtobufError) in try ESPV1.IngestRequest(serialized: bytes.span) }
      .map { Expectation($0, now: now) }
    var batch = ReadingBatch()
    let outcome = Result { () throws(RPCStatus) in try Self.decoder.decodeIngest(bytes.span, now: now, into: &batch) }
    return try compare(outcome.map(Optional.some), batch, expected, difference(ProtobufCDifference.ingestRequest))
  }

  /// As an `esp.v1.IngestReadingRequest`.
  @discardableResult package func single() throws(Disagreement) -> Outcome {
    let expected = Result { () throws(ProtobufError) in try ESPV1.IngestReadingRequest(serialized: bytes.span) }
      .map { $0.reading.map { Expectation([$0], [], sequence: 0, now: now) } ?? .refusal }
    var batch = ReadingBatch()
    let outcome = Result { () throws(RPCStatus) in
      try Self.decoder.decodeIngestReading(bytes.span, now: now, into: &batch)
    }
    let difference = difference(ProtobufCDifference.ingestReadingRequest)
    return try compare(outcome.map(Optional.some), batch, expected, difference)
  }

  /// As an `esp.v1.IngestStreamRequest`.
  @discardableResult package func stream() throws(Disagreement) -> Outcome {
    let reference = Result { () throws(ProtobufError) in try ESPV1.IngestStreamRequest(serialized: bytes.span) }
    let difference = ProtobufCDifference(in: bytes[...], fields: ProtobufCDifference.streamRequest, oneof: [1, 2])
    var batch = ReadingBatch()
    let outcome = Result { () throws(RPCStatus) in try Self.decoder.decodeStream(bytes.span, now: now, into: &batch) }
    if difference.isEmpty, case .success(let ours) = outcome, case .success(let theirs) = reference {
      try compare(ours, theirs.message)
    }
    let expected = reference.map { request in
      switch request.message {
      case .batch(let message)?:
        Expectation(message.readings, message.blocks, sequence: message.sequence, now: now)
      case .open(let open)?: open.producerID.isEmpty ? .refusal : Expectation(producerID: open.producerID, now: now)
      case nil: Expectation(now: now)
      }
    }
    return try compare(outcome.map(\.head), batch, expected, difference)
  }

  /// Which of the three messages of a stream it is, and what an opening says.
  private func compare(_ ours: IngestStreamMessage,
                       _ theirs: ESPV1.IngestStreamRequest.Message?) throws(Disagreement) {
    switch (ours, theirs) {
    case (.batch, .batch?), (.empty, nil): break
    case (.open(let producerID, let ackLevel, let isHistorical), .open(let open)?):
      let level = AckLevel(rawValue: open.ackLevel.rawValue) ?? .unspecified
      try require(producerID == open.producerID && isHistorical == open.historical && ackLevel == level, "opening")
    default: throw Disagreement(description: "ours is \(ours), libprotobuf-c's \(String(describing: theirs))")
    }
  }

  /// `outcome` has no head when the message holds no batch.
  private func compare(
    _ outcome: Result<IngestHead?, RPCStatus>, _ batch: ReadingBatch, _ expected: Result<Expectation, ProtobufError>,
    _ difference: ProtobufCDifference
  ) throws(Disagreement) -> Outcome {
    try checkPromises(outcome, batch)
    if difference.contains(.fieldNumber), !difference.contains(.replaced) {
      try requireRefusal(outcome, "a field number that is none")
    }
    guard difference.isEmpty else { return .different }
    switch expected {
    case .failure(.invalidUTF8): return .badText
    case .failure:
      try requireRefusal(outcome, "bytes that libprotobuf-c refuses")
      return .refused
    case .success(let expected) where expected.isRefused:
      try requireRefusal(outcome, "a bad producer or no reading")
      return .refused
    case .success(let expected):
      switch outcome {
      case .success(let head?): try compare(head, batch, expected)
      case .success(nil): try require(expected.reference.result.received == 0, "a batch that ours does not see")
      case .failure(let status): throw Disagreement(description: "ours refuses what libprotobuf-c takes: \(status)")
      }
      return .accepted
    }
  }

  /// What holds whatever libprotobuf-c says.
  private func checkPromises(_ outcome: Result<IngestHead?, RPCStatus>, _ batch: ReadingBatch) throws(Disagreement) {
    if case .success(let head?) = outcome {
      try require(Int(head.result.stored) == batch.readings.count, "stored is not the number of readings")
      try require(Int(head.result.quarantined) == head.deadLetters.count, "a dead letter is missing")
    } else {
      try require(batch.readings.isEmpty && batch.text.isEmpty, "a refused message left something in the batch")
    }
  }

  private func compare(_ head: IngestHead, _ batch: ReadingBatch, _ expected: Expectation) throws(Disagreement) {
    let reference = expected.reference
    try require(head.producerID == expected.producerID, "producer id")
    try require(head.ackLevel == AckLevel(rawValue: expected.ackLevel.rawValue) ?? .unspecified, "ack level")
    try require(head.result == reference.result, "result: ours \(head.result), expected \(reference.result)")
    try require(batch.readings.map { StoredSample($0, in: batch) } == reference.stored, "readings")
    // Bytes for bytes after libprotobuf-c has put the fields of both in order. One that it can't read compares unequal.
    let originals = head.deadLetters.map { try? ESPV1.Reading(serialized: $0.original.span).serialized() }
    try require(originals == reference.deadLetters, "dead letters")
  }

  private func difference(_ fields: [UInt64: ProtobufCDifference.Kind]) -> ProtobufCDifference {
    ProtobufCDifference(in: bytes[...], fields: fields)
  }

  private func requireRefusal(_ outcome: Result<IngestHead?, RPCStatus>, _ what: String) throws(Disagreement) {
    if case .success = outcome { throw Disagreement(description: "ours takes \(what)") }
  }

  private func require(_ holds: Bool, _ what: @autoclosure () -> String) throws(Disagreement) {
    if !holds { throw Disagreement(description: "\(what()) differs") }
  }
}

/// What a request says, and so what must come of it.
private struct Expectation {
  static let refusal = Expectation(now: 0, isRefused: true)

  let reference: ReferenceIngest
  var producerID = ""
  var ackLevel = ESPV1.AckLevel.unspecified
  let isRefused: Bool

  init(_ request: ESPV1.IngestRequest, now: Int64) {
    self.init(request.readings, request.blocks, sequence: request.sequence, producerID: request.producerID, now: now)
    ackLevel = request.ackLevel
  }

  init(_ readings: [ESPV1.Reading] = [], _ blocks: [ESPV1.ReadingBlock] = [], sequence: UInt64 = 0,
       producerID: String = "", now: Int64, isRefused: Bool = false) {
    reference = ReferenceIngest(readings, blocks, sequence: sequence, rules: ReadingRules(), now: now)
    self.producerID = producerID
    let isBadID = !producerID.isEmpty && producerID.wholeMatch(of: /[A-Za-z0-9._:\-]{1,128}/) == nil
    self.isRefused = isRefused || isBadID
  }
}

extension IngestStreamMessage {
  fileprivate var head: IngestHead? {
    if case .batch(let head) = self { head } else { nil }
  }
}
