// The checksum against what others publish.
import Journal
import Testing

@Suite struct CRC32CTests {
  private func crc(_ pieces: [UInt8]...) -> UInt32 {
    var crc = CRC32C()
    for piece in pieces { crc.update(piece.span) }
    return crc.value
  }

  /// The check value of the algorithm's catalogue, and the examples of RFC 3720 B.4.
  @Test func knownAnswers() {
    #expect(crc() == 0)
    #expect(crc(Array("123456789".utf8)) == 0xE306_9283)
    #expect(crc([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(crc([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(crc(Array(0..<32)) == 0x46DD_794E)
    #expect(crc((0..<32).reversed()) == 0x113F_DB5C)
  }

  /// Sixteen bytes a step are the same as one.
  @Test func piecesGiveWhatTheWholeGives() {
    let bytes = (0..<100).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ 13) }
    var single = CRC32C()
    for byte in bytes { single.update([byte].span) }
    for cut in 0...bytes.count { #expect(crc(Array(bytes[..<cut]), Array(bytes[cut...])) == single.value) }
  }
}
