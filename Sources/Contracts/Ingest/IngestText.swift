// Texts of a message on their way into a batch.
internal import HTTPCore
import Telemetry

extension ReadingBatch {
  /// Whether a text of the batch is the bytes at `range`.
  @inline(__always) func text(_ slice: TextSlice, equals range: Range<Int>, of bytes: Span<UInt8>) -> Bool {
    text.span.extracting(slice.range).equals(bytes.extracting(range))
  }

  /// Adds the bytes at `range` and returns where they lie.
  mutating func add(text range: Range<Int>, of bytes: Span<UInt8>) -> TextSlice {
    let offset = text.count
    text.append(copying: bytes.extracting(range))
    return TextSlice(offset: UInt32(offset), byteCount: UInt32(range.count))
  }
}

extension ReadingRules {
  /// UTF-8 without NUL, which the database cannot hold, and short.
  static func isValidSourceSystem(_ text: Span<UInt8>) -> Bool {
    guard text.count <= maximumSourceSystemBytes else { return false }
    for index in text.indices where text[index] == 0 { return false }
    return (try? UTF8Span(validating: text)) != nil
  }

  /// The table's default, which is not stored with each reading.
  static func isDefaultSourceSystem(_ text: Span<UInt8>) -> Bool {
    guard text.count == 5 else { return false }
    let scada: InlineArray<5, UInt8> = [0x73, 0x63, 0x61, 0x64, 0x61]  // "scada"
    for index in scada.indices where text[index] != scada[index] { return false }
    return true
  }
}

extension [UInt8] {
  init(span: Span<UInt8>) {
    self.init(copying: span)
  }
}
