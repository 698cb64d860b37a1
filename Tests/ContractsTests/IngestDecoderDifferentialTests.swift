// Holds the hand-written decoder to libprotobuf-c: same messages refused, same readings out of the others.
import Contracts
import IngestReference
import Protobuf
import Telemetry
import Testing

@Suite("Ingest decoder against libprotobuf-c") struct IngestDecoderDifferentialTests {
  typealias Disagreement = IngestComparison.Disagreement

  static let decoder = IngestDecoder(rules: ReadingRules())
  /// Keys of the packed columns 4-11 and 13-15 of a block: those of one byte.
  static let packedColumns = Set(([4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15] as [UInt8]).map { $0 << 3 | 2 })

  /// How often the two agreed, and why they did not need to.
  struct Tally {
    var accepted = 0
    var refused = 0
    var badText = 0
    var different = 0
    var compared: Int { accepted + refused }

    mutating func count(
      _ bytes: [UInt8], _ compare: (IngestComparison) throws(Disagreement) -> IngestComparison.Outcome
    ) {
      do throws(Disagreement) {
        switch try compare(IngestComparison(bytes, now: RandomIngest.now)) {
        case .accepted: accepted += 1
        case .refused: refused += 1
        case .badText: badText += 1
        case .different: different += 1
        }
      } catch {
        Issue.record("\(error): \(bytes.hexadecimal)")
      }
    }
  }

  @Test("24,000 requests, rearranged and damaged", arguments: 0..<8)
  func ingest(seed: UInt64) {
    var source = RandomIngest(random: SplitMix64(seed: seed))
    var tally = Tally()
    for round in 0..<3_000 {
      let bytes = bytes(of: source.request(), blockKey: 0x2a, &source, isDamaged: round % 2 == 1)
      tally.count(bytes) { comparison throws(Disagreement) in try comparison.ingest() }
    }
    // Most messages are compared in full, and both answers occur.
    #expect(tally.accepted > 1_300 && tally.refused > 700 && tally.compared > 2_200, "\(tally)")
  }

  @Test("16,000 stream messages, rearranged and damaged", arguments: 0..<4)
  func stream(seed: UInt64) {
    var source = RandomIngest(random: SplitMix64(seed: 100 + seed))
    var tally = Tally()
    for round in 0..<4_000 {
      var bytes = source.streamRequest().serialized()
      if round % 2 == 1 { bytes = source.random.damaged(bytes) }
      tally.count(bytes) { comparison throws(Disagreement) in try comparison.stream() }
    }
    #expect(tally.compared > 2_500, "\(tally)")
  }

  @Test("8,000 single readings, rearranged and damaged", arguments: 0..<2)
  func single(seed: UInt64) {
    var source = RandomIngest(random: SplitMix64(seed: 200 + seed))
    var tally = Tally()
    for round in 0..<4_000 {
      var inner = source.random.rearranged(source.reading().serialized(), packed: [])
      if round % 2 == 1 { inner = source.random.damaged(inner) }
      tally.count(wrapped(inner, key: 0x0a)) { comparison throws(Disagreement) in try comparison.single() }
    }
    #expect(tally.compared > 2_800, "\(tally)")
  }

  @Test("known fields of another wire type are skipped, as if they had not been sent", arguments: 0..<4)
  func otherWireTypes(seed: UInt64) throws {
    var source = RandomIngest(random: SplitMix64(seed: 300 + seed))
    var tally = Tally()
    for _ in 0..<1_000 {
      let bytes = mistyped(source.request().serialized(), &source)
      #expect(ProtobufCDifference(in: bytes[...], fields: ProtobufCDifference.ingestRequest) == .wireType)
      let cleaned = ProtobufCDifference.cleaned(bytes[...], fields: ProtobufCDifference.ingestRequest)
      let request = try ESPV1.IngestRequest(serialized: cleaned.span)
      let id = request.producerID
      if !id.isEmpty, id.wholeMatch(of: /[A-Za-z0-9._:\-]{1,128}/) == nil { continue }
      let reference = ReferenceIngest(request.readings, request.blocks, sequence: request.sequence,
                                      rules: ReadingRules(), now: RandomIngest.now)
      var batch = ReadingBatch()
      let head = try Self.decoder.decodeIngest(bytes.span, now: RandomIngest.now, into: &batch)
      tally.accepted += 1
      #expect(head.result == reference.result, "\(bytes.hexadecimal)")
      #expect(batch.readings.map { StoredSample($0, in: batch) } == reference.stored, "\(bytes.hexadecimal)")
    }
    #expect(tally.accepted > 700, "\(tally)")
  }

  /// A request on the wire, its blocks and its own fields rearranged.
  private func bytes(
    of request: ESPV1.IngestRequest, blockKey: UInt8, _ source: inout RandomIngest, isDamaged: Bool
  ) -> [UInt8] {
    var output: [UInt8] = []
    for field in WireFields(request.serialized()).fields {
      if field[0] == blockKey {
        let payload = Array(field.dropFirst().drop { $0 >= 0x80 }.dropFirst())
        output += wrapped(source.random.rearranged(payload, packed: Self.packedColumns), key: blockKey)
      } else {
        output += field
      }
    }
    output = source.random.rearranged(output, packed: [])
    return isDamaged ? source.random.damaged(output) : output
  }

  /// A request with known fields of a wrong wire type put into it, its rows and its blocks.
  private func mistyped(_ bytes: [UInt8], _ source: inout RandomIngest) -> [UInt8] {
    var output = source.random.pick(Self.mistypedRequestFields)
    for field in WireFields(bytes).fields {
      let fields = [0x22: Self.mistypedRowFields, 0x2a: Self.mistypedBlockFields][field[0]]
      guard let fields else {
        output += field
        continue
      }
      let payload = Array(field.dropFirst().drop { $0 >= 0x80 }.dropFirst())
      output += wrapped(source.random.pick(fields) + payload + source.random.pick(fields), key: field[0])
    }
    return output + source.random.pick(Self.mistypedRequestFields)
  }

  /// producer_id as varint, sequence as bytes, ack_level as fixed32, readings and blocks as varint.
  private static let mistypedRequestFields: [[UInt8]] = [
    [0x08, 7], [0x12, 1, 0xff], [0x1d, 1, 2, 3, 4], [0x20, 1], [0x28, 1],
  ]
  /// device_id and timestamp as varint, temperature as varint, vibration as bytes, source_system and quality as fixed.
  private static let mistypedRowFields: [[UInt8]] = [
    [0x08, 7], [0x10, 1], [0x18, 1], [0x22, 1, 0], [0x5d, 1, 2, 3, 4], [0x61, 1, 2, 3, 4, 5, 6, 7, 8], [0x80, 1, 1],
  ]
  /// device_id as varint, start as fixed32, times as fixed32, temperature as varint, leakage_current as fixed64.
  private static let mistypedBlockFields: [[UInt8]] = [
    [0x08, 7], [0x15, 1, 2, 3, 4], [0x1d, 1, 2, 3, 4], [0x20, 1], [0x89, 1, 1, 2, 3, 4, 5, 6, 7, 8],
  ]

  private func wrapped(_ payload: [UInt8], key: UInt8) -> [UInt8] {
    [key] + WireFields.varint(UInt64(payload.count)) + payload
  }
}
