// Comparing bytes by words, and the body that moves its rest down: each beside the plain way.
import HTTPCore
import Testing

@Suite("Bytes") struct SpanBytesTests {
  /// Outside of #expect, which can't hold a span.
  private func areEqual(_ one: [UInt8], from start: Int, _ other: [UInt8], from otherStart: Int) -> Bool {
    one.span.extracting(start...).equals(other.span.extracting(otherStart...))
  }

  @Test("equal bytes are equal, and one bit anywhere makes them differ", arguments: 0...26)
  func equality(count: Int) {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 1) }
    // Both at an odd place: words are loaded from anywhere.
    let (one, other) = ([9] + bytes, [8, 7, 6] + bytes)
    #expect(areEqual(one, from: 1, other, from: 3))
    for index in 0..<count {
      for bit in 0..<8 {
        var changed = other
        changed[3 + index] ^= 1 << UInt8(bit)
        #expect(!areEqual(one, from: 1, changed, from: 3))
      }
    }
  }

  @Test("other lengths are not equal") func lengths() {
    let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    for count in 0..<bytes.count { #expect(!areEqual(bytes, from: 0, Array(bytes.prefix(count)), from: 0)) }
  }

  @Test("a body gives what came, in order, however it is taken", arguments: [1, 7, 6_305, 8_191, 8_192, 8_193, 70_000])
  func body(takenAtOnce: Int) {
    var (body, came, taken) = (HTTPBody(), [UInt8](), [UInt8]())
    for round in 0..<40 {
      let piece = (0..<5_000).map { UInt8(truncatingIfNeeded: $0 &+ round) }
      body.append(piece.span)
      came += piece
      while body.count >= takenAtOnce, taken.count < came.count - takenAtOnce {
        body.withBytes { taken.append(copying: $0.extracting(0..<takenAtOnce)) }
        body.removeFirst(takenAtOnce)
        // Byte by byte it is enough to have begun.
        if takenAtOnce == 1, taken.count % 3_000 == 0 { break }
      }
    }
    body.withBytes { taken.append(copying: $0) }
    #expect(taken == came)
  }
}
