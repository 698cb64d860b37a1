// The ingest decoder by example: each rule of the contract, each thing that hostile bytes can try.
import Contracts
import Protobuf
import Status
import Telemetry
import Testing

@Suite("Ingest decoder") struct IngestDecoderTests {
  static let now = RandomIngest.now

  static func reading(_ change: (inout ESPV1.Reading) -> Void = { _ in }) -> ESPV1.Reading {
    .with {
      $0.deviceID = "ESP-001"
      $0.timestamp = .with { $0.seconds = now / 1_000_000 }
      $0.temperature = 85
      change(&$0)
    }
  }

  static func block(_ change: (inout ESPV1.ReadingBlock) -> Void = { _ in }) -> ESPV1.ReadingBlock {
    .with {
      $0.deviceID = "ESP-001"
      $0.startTimeUnixUs = now - 10_000_000
      $0.timeDeltaUs = [0, 1_000_000, 2_000_000]
      $0.temperature = [85, 86, 87]
      change(&$0)
    }
  }

  /// Decodes into an empty batch.
  func decode(
    _ request: ESPV1.IngestRequest, maximum: Int = 100_000
  ) throws(RPCStatus) -> (head: IngestHead, batch: ReadingBatch) {
    try decode(request.serialized(), maximum: maximum)
  }

  func decode(_ bytes: [UInt8], maximum: Int = 100_000) throws(RPCStatus) -> (head: IngestHead, batch: ReadingBatch) {
    var batch = ReadingBatch()
    let decoder = IngestDecoder(rules: ReadingRules(), maximumBatchReadings: maximum)
    return (try decoder.decodeIngest(bytes.span, now: Self.now, into: &batch), batch)
  }

  @Test("a batch comes through with its head, and the texts of a run of readings are shared") func batch() throws {
    let (head, batch) = try decode(.with {
      $0.producerID = "gateway-7"
      $0.sequence = 42
      $0.ackLevel = .committed
      $0.readings = [Self.reading(), Self.reading { $0.sourceSystem = "dcs"; $0.quality = 0 }, Self.reading()]
      $0.blocks = [Self.block()]
    })
    #expect(head.producerID == "gateway-7" && head.sequence == 42 && head.ackLevel == .committed)
    #expect(head.result.stored == 6 && head.result.received == 6 && head.result.sequence == 42)
    #expect(head.result.verdicts.isEmpty && head.deadLetters.isEmpty)
    #expect(Set(batch.readings.map(\.deviceID)).count == 1)
    #expect(String(decoding: batch.text, as: UTF8.self) == "ESP-001dcs")
    #expect(batch.readings.map(\.quality) == [nil, 0, nil, nil, nil, nil])
    #expect(batch.readings.suffix(3).map(\.timestamp) == [0, 1, 3].map { Self.now - 10_000_000 + $0 * 1_000_000 })
  }

  @Test("an unknown ack level counts as unspecified", arguments: [4, -1, Int32.max])
  func ackLevel(number: Int32) throws {
    let request = ESPV1.IngestRequest.with { $0.ackLevel = .init(rawValue: number); $0.readings = [Self.reading()] }
    #expect(try decode(request).head.ackLevel == .unspecified)
  }

  @Test("rows come before blocks, whatever their order on the wire") func order() throws {
    let blocks = ESPV1.IngestRequest.with { $0.blocks = [Self.block { $0.temperature = [1, 2, 300] }] }
    let rows = ESPV1.IngestRequest.with { $0.readings = [Self.reading(), Self.reading { $0.temperature = 300 }] }
    let (head, batch) = try decode(blocks.serialized() + rows.serialized())
    #expect(batch.readings.map { $0[.temperature] } == [85, 1, 2])
    #expect(head.result.verdicts.map(\.firstIndex) == [1, 4])
  }

  @Test("readings that are not stored get outcome, reason and field", arguments: [
    (reading { $0.deviceID = "" }, .rejected, .invalidDeviceID, "device_id"),
    (reading { $0.deviceID = "a b" }, .rejected, .invalidDeviceID, "device_id"),
    (reading { $0.sourceSystem = "a\u{0}" }, .rejected, .invalidSourceSystem, "source_system"),
    (reading { $0.sourceSystem = .init(repeating: "s", count: 129) }, .rejected, .invalidSourceSystem, "source_system"),
    (reading { $0.timestamp = nil }, .quarantined, .missingTimestamp, "timestamp"),
    (reading { $0.timestamp!.nanos = -1 }, .quarantined, .invalidTimestamp, "timestamp"),
    (reading { $0.timestamp!.nanos = 1_000_000_000 }, .quarantined, .invalidTimestamp, "timestamp"),
    (reading { $0.timestamp!.seconds = 253_402_300_800 }, .quarantined, .invalidTimestamp, "timestamp"),
    (reading { $0.timestamp!.seconds = .min }, .quarantined, .invalidTimestamp, "timestamp"),
    (reading { $0.timestamp!.seconds = 253_402_300_799 }, .quarantined, .timestampInFuture, "timestamp"),
    (reading { $0.timestamp!.seconds = -62_135_596_800 }, .quarantined, .timestampTooOld, "timestamp"),
    (reading { $0.rpm = .nan }, .quarantined, .nonFiniteValue, "rpm"),
    (reading { $0.leakageCurrent = .infinity }, .quarantined, .nonFiniteValue, "leakage_current"),
    (reading { $0.temperature = 201 }, .quarantined, .outOfRange, "temperature"),
    (reading { $0.temperature = nil }, .quarantined, .noSignals, ""),
  ] as [(ESPV1.Reading, Verdict.Outcome, Verdict.Reason, String)])
  func verdicts(bad: ESPV1.Reading, outcome: Verdict.Outcome, reason: Verdict.Reason, field: String) throws {
    let (head, batch) = try decode(.with { $0.readings = [Self.reading(), bad, Self.reading()] })
    #expect(head.result.verdicts == [Verdict(firstIndex: 1, outcome: outcome, reason: reason, field: field)])
    #expect(head.result.stored == 2 && batch.readings.count == 2 && head.result.received == 3)
    guard outcome == .quarantined else { return #expect(head.deadLetters.isEmpty) }
    let letter = try #require(head.deadLetters.first)
    #expect(letter.reason == reason && letter.field == field && letter.deviceID == "ESP-001")
    #expect(letter.original == bad.serialized())
  }

  @Test("a run of equal fates is one verdict") func runs() throws {
    let bad = Self.reading { $0.temperature = 201 }
    let (head, _) = try decode(.with { $0.readings = [bad, bad, Self.reading(), bad] })
    #expect(head.result.verdicts.map(\.firstIndex) == [0, 3] && head.result.verdicts.map(\.count) == [2, 1])
  }

  @Test("device ids that are not UTF-8 are rejected one by one") func badUTF8() throws {
    let (head, _) = try decode([0x22, 3, 0x0a, 1, 0xff])
    #expect(head.result.verdicts.map(\.reason) == [.invalidDeviceID])
    let source = Self.reading().serialized() + [0x5a, 1, 0xff]
    let (other, _) = try decode([0x22, UInt8(source.count)] + source)
    #expect(other.result.verdicts.map(\.reason) == [.invalidSourceSystem])
  }

  @Test("nanoseconds are cut to microseconds, before 1970 too") func truncation() throws {
    let rules = ReadingRules(maximumAge: .seconds(100_000 * 86_400))
    var batch = ReadingBatch()
    for (seconds, nanos) in [(0, 999), (-1, 999_999_999), (1, 1_500)] as [(Int64, Int32)] {
      let request = ESPV1.IngestReadingRequest.with {
        $0.reading = Self.reading { $0.timestamp = .with { $0.seconds = seconds; $0.nanos = nanos } }
      }
      _ = try IngestDecoder(rules: rules).decodeIngestReading(request.serialized().span, now: Self.now, into: &batch)
    }
    #expect(batch.readings.map(\.timestamp) == [0, -1, 1_000_001])
  }

  @Test("the default source system is not kept with the reading", arguments: ["", "scada"])
  func scada(name: String) throws {
    let (_, batch) = try decode(.with { $0.readings = [Self.reading { $0.sourceSystem = name }] })
    #expect(batch.readings[0].sourceSystem.byteCount == 0)
  }

  @Test("in a block NaN is a missing value, and a sample of which all are missing is no reading")
  func blockNaN() throws {
    let (head, batch) = try decode(.with {
      $0.blocks = [Self.block { $0.temperature = [.nan, 86, .nan]; $0.rpm = [3000, 3001, .nan] }]
    })
    #expect(batch.readings.map { $0[.temperature] } == [nil, 86])
    #expect(batch.readings.map { $0[.rpm] } == [3000, 3001])
    #expect(head.result.verdicts == [Verdict(firstIndex: 2, outcome: .quarantined, reason: .noSignals)])
  }

  @Test("the dead letter of a sample is the sample as a reading, its sentinels included")
  func blockDeadLetter() throws {
    let (head, _) = try decode(.with {
      $0.blocks = [Self.block {
        $0.sourceSystem = "dcs"
        $0.temperature = [85, 201, 85]
        $0.pressure = [1, -9999, .nan]
        $0.leakageCurrent = [0.5, 0.25, 0.5]
      }]
    })
    let letter = try #require(head.deadLetters.first)
    #expect(head.deadLetters.count == 1 && letter.readingTimestamp == Self.now - 9_000_000)
    #expect(try ESPV1.Reading(serialized: letter.original.span) == .with {
      $0.deviceID = "ESP-001"
      $0.sourceSystem = "dcs"
      $0.timestamp = .with { $0.seconds = Self.now / 1_000_000 - 9 }
      $0.temperature = 201
      $0.pressure = -9999
      $0.leakageCurrent = 0.25
    })
  }

  @Test("a malformed block is rejected as a whole, naming the column", arguments: [
    (block { $0.temperature = [1, 2] }, 3, "temperature"),
    (block { $0.leakageCurrent = [1, 2, 3, 4] }, 4, "leakage_current"),
    (block { $0.timeDeltaUs = [] }, 3, "time_delta_us"), (block { $0.timeDeltaUs = [0] }, 3, "temperature"),
  ] as [(ESPV1.ReadingBlock, UInt32, String)])
  func malformedBlock(bad: ESPV1.ReadingBlock, count: UInt32, field: String) throws {
    let (head, batch) = try decode(.with { $0.blocks = [bad, Self.block()] })
    #expect(head.result.verdicts
      == [Verdict(firstIndex: 0, count: count, outcome: .rejected, reason: .invalidBlock, field: field)])
    #expect(head.result.stored == 3 && batch.readings.count == 3 && head.result.received == count + 3)
  }

  @Test("a block without samples is nothing") func emptyBlock() throws {
    let (head, _) = try decode(.with { $0.blocks = [Self.block { $0.timeDeltaUs = []; $0.temperature = [] }] })
    #expect(head.result == BatchResult())
  }

  @Test("a time beyond 64 bits is an invalid timestamp", arguments: [
    (Int64.max, 0), (.max - 1_500_000, 0), (.min, 0), (253_402_300_799_000_000, 0),
  ] as [(Int64, Int)])
  func overflow(start: Int64, stored: Int) throws {
    let (head, _) = try decode(.with { $0.blocks = [Self.block { $0.startTimeUnixUs = start }] })
    #expect(head.result.stored == UInt32(stored) && head.result.quarantined == 3)
    #expect(head.result.verdicts.last?.reason == .invalidTimestamp)
    #expect(head.deadLetters.last?.readingTimestamp == nil)
  }

  @Test("producer ids: none, or 1 to 128 bytes of an id", arguments: ["a b", "é", String(repeating: "p", count: 129)])
  func producer(id: String) throws {
    #expect(throws: RPCStatus.invalidField("producer_id", "must be 1..128 bytes of [A-Za-z0-9._:-]")) {
      try decode(.with { $0.producerID = id })
    }
    #expect(try decode(.with { $0.producerID = String(repeating: "p", count: 128) }).head.producerID.count == 128)
  }

  @Test("one reading more than the limit fails the call and names both numbers") func limit() throws {
    let request = ESPV1.IngestRequest.with { $0.readings = [Self.reading()]; $0.blocks = [Self.block()] }
    #expect(try decode(request, maximum: 4).head.result.stored == 4)
    let error = try #require(throws: RPCStatus.self) { try decode(request, maximum: 3) }
    #expect(error.code == .invalidArgument)
    #expect(error.message.contains("4 readings") && error.message.contains("at most 3"))
  }

  @Test("bytes that are no protobuf fail the call, say where, and leave the batch alone", arguments: [
    ([0x22, 5, 0x0a], "ends inside a field at byte 1"),
    ([0x22, 2, 0x0a, 5], "ends inside a field at byte 3"),
    ([0x00], "a field number outside 1..536870911 at byte 0"),
    ([0xf8, 0xff, 0xff, 0xff, 0xff, 0x01], "a field number outside 1..536870911 at byte 0"),
    ([0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "more than 10 bytes at byte 1"),
    ([0x22, 0x82, 0x80, 0x80, 0x80, 0x80, 0x00, 0, 0], "a length of more than 5 bytes at byte 1"),
    ([0x22, 0xff, 0xff, 0xff, 0xff, 0x0f], "ends inside a field at byte 1"),
    ([0x0e], "a wire type that does not exist at byte 1"),
    ([0x0c], "a group that is not opened or not closed at byte 1"),
    ([0x9b, 0x06, 0x08, 1], "a group that is not opened or not closed at byte 4"),
    (Array(repeating: 0x0b, count: 200), "groups nested too deeply at byte 101"),
    ([0x2a, 4, 0x22, 2, 0, 0], "no multiple of its elements' at byte 4"),
    ([0x2a, 3, 0x1a, 1, 0x80], "ends inside a field at byte 4"),
  ] as [([UInt8], String)])
  func malformed(bytes: [UInt8], what: String) throws {
    var batch = ReadingBatch()
    let decoder = IngestDecoder(rules: ReadingRules())
    let good = ESPV1.IngestRequest.with { $0.readings = [Self.reading()] }.serialized()
    _ = try decoder.decodeIngest(good.span, now: Self.now, into: &batch)
    let error = try #require(throws: RPCStatus.self) {
      try decoder.decodeIngest(bytes.span, now: Self.now, into: &batch)
    }
    #expect(error.code == .invalidArgument && error.message.hasPrefix("the bytes are not a valid esp.v1.IngestRequest"))
    #expect(error.message.hasSuffix(what), "\(error.message)")
    #expect(throws: RPCStatus.self) { try decoder.decodeIngest((good + bytes).span, now: Self.now, into: &batch) }
    #expect(batch.readings.count == 1 && batch.string(batch.readings[0].deviceID) == "ESP-001")
  }

  @Test("groups and known fields of another wire type are skipped") func skipped() throws {
    // Field 99 as a group that holds a group; producer_id as a varint; sequence as bytes.
    let odd: [UInt8] = [0x9b, 0x06, 0x0b, 0x08, 1, 0x0c, 0x9c, 0x06, 0x08, 7, 0x12, 1, 0xff]
    let (head, _) = try decode(odd + ESPV1.IngestRequest.with { $0.readings = [Self.reading()] }.serialized() + odd)
    #expect(head.result.stored == 1 && head.producerID == "" && head.sequence == 0)
  }

  @Test("a message field that comes in pieces is merged: the last of each field wins") func merge() throws {
    let first = Self.reading { $0.timestamp = .with { $0.seconds = 1; $0.nanos = 5_000 }; $0.rpm = 3000 }
    let second = ESPV1.Reading.with { $0.timestamp = .with { $0.seconds = Self.now / 1_000_000 }; $0.temperature = 86 }
    let pieces = [first, second].map { reading in ESPV1.IngestReadingRequest.with { $0.reading = reading } }
    let bytes = Array(pieces.map { $0.serialized() }.joined())
    var batch = ReadingBatch()
    _ = try IngestDecoder(rules: ReadingRules()).decodeIngestReading(bytes.span, now: Self.now, into: &batch)
    let reading = try #require(batch.readings.first)
    #expect(reading.timestamp == Self.now + 5)
    #expect(reading[.temperature] == 86 && reading[.rpm] == 3000)
  }

  @Test("a request without a reading is refused") func noReading() {
    var batch = ReadingBatch()
    #expect(throws: RPCStatus.invalidField("reading", "is missing")) {
      try IngestDecoder(rules: ReadingRules()).decodeIngestReading([UInt8]().span, now: Self.now, into: &batch)
    }
  }
}
