// Dead letters to the rows of `COPY dead_letters`.
import Telemetry

/// Encodes refused readings as rows of table `dead_letters`. One per writer; its memory is reused.
struct DeadLetterCopyEncoder {
  /// The columns in the order of the fields below.
  static let statement = "COPY dead_letters (received_at, last_attempt_at, reason, field, device_id, "
    + "reading_timestamp, producer_id, sequence, principal, original) FROM STDIN BINARY"

  private var buffer = CopyBuffer()

  mutating func reset() { buffer.reset() }

  mutating func append(_ refused: RefusedReading) {
    let letter = refused.letter
    let texts = [letter.reason.rawValue, letter.field, letter.deviceID, refused.producerID, refused.principal]
      .map(Self.storable)
    let textBytes = texts.reduce(0) { $0 + 4 + $1.count }
    let time = letter.readingTimestamp.flatMap { Self.isStorable($0) ? PostgresTime.fromUnix($0) : nil }
    buffer.withRoom(forRows: 1, maximumBytes: 2 + 4 * 12 + textBytes + 4 + letter.original.count) { bytes, offset in
      bytes.put(fieldCount: 10, &offset)
      // It was judged when it was received: the first time is the last one so far.
      for _ in 0..<2 { bytes.put(PostgresTime.fromUnix(refused.receivedAt), &offset) }
      for text in texts[..<3] { bytes.put(text, &offset) }
      if let time { bytes.put(time, &offset) } else { bytes.putNull(&offset) }
      bytes.put(texts[3], &offset)
      bytes.put(Int64(clamping: refused.sequence), &offset)
      bytes.put(texts[4], &offset)
      bytes.put(letter.original, &offset)
    }
  }

  mutating func withFinished<Value, Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Value
  ) throws(Failure) -> Value {
    try buffer.withFinished(body)
  }

  /// PostgreSQL texts hold no NUL; the original bytes keep it.
  private static func storable(_ text: String) -> [UInt8] {
    text.utf8.map { $0 == 0 ? UInt8(ascii: "?") : $0 }
  }

  /// Years 1 to 9999: a dead letter may carry any number as its time; the original bytes keep the others.
  private static func isStorable(_ microseconds: Int64) -> Bool {
    (-62_135_596_800_000_000..<253_402_300_800_000_000).contains(microseconds)
  }
}
