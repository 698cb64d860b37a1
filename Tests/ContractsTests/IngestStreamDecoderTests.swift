// The messages of an ingest stream by example.
import Contracts
import Protobuf
import Status
import Telemetry
import Testing

@Suite("Ingest stream decoder") struct IngestStreamDecoderTests {
  func decode(_ bytes: [UInt8]) throws -> IngestStreamMessage {
    var batch = ReadingBatch()
    let decoder = IngestDecoder(rules: ReadingRules(), maximumBatchReadings: 2)
    return try decoder.decodeStream(bytes.span, now: RandomIngest.now, into: &batch)
  }

  static let open = ESPV1.IngestStreamRequest.with {
    $0.message = .open(.with { $0.producerID = "gateway-7"; $0.ackLevel = .accepted; $0.historical = true })
  }.serialized()

  static func batch(_ sequence: UInt64, _ count: Int) -> [UInt8] {
    ESPV1.IngestStreamRequest.with {
      $0.message = .batch(.with {
        $0.sequence = sequence
        $0.readings = Array(repeating: IngestDecoderTests.reading(), count: count)
      })
    }.serialized()
  }

  @Test("open, batch, and neither") func members() throws {
    #expect(try decode(Self.open) == .open(producerID: "gateway-7", ackLevel: .accepted, isHistorical: true))
    guard case .batch(let head) = try decode(Self.batch(3, 2)) else { return #expect(Bool(false), "no batch") }
    #expect(head.sequence == 3 && head.result.stored == 2)
    #expect(try decode([]) == .empty)
    #expect(try decode([0x98, 0x06, 1]) == .empty)
  }

  @Test("the last member wins; a batch in pieces is one batch") func lastWins() throws {
    let open = IngestStreamMessage.open(producerID: "gateway-7", ackLevel: .accepted, isHistorical: true)
    #expect(try decode(Self.batch(3, 1) + Self.open) == open)
    let bytes = Self.batch(9, 1) + Self.open + Self.batch(3, 1) + Self.batch(4, 1)
    guard case .batch(let head) = try decode(bytes) else { return #expect(Bool(false), "no batch") }
    #expect(head.sequence == 4 && head.result.stored == 2)
  }

  @Test("a stream must name its producer") func noProducer() {
    let bytes = ESPV1.IngestStreamRequest.with { $0.message = .open(ESPV1.OpenStream()) }.serialized()
    #expect(throws: RPCStatus.self) { try decode(bytes) }
  }

  @Test("the limit holds for each batch") func limit() {
    #expect(throws: RPCStatus.self) { try decode(Self.batch(1, 3)) }
  }
}
