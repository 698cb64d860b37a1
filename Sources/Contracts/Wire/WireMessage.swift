// The fields of a message whose type is not generated: for descriptors, read once at start.

/// All fields of a message by number, in the order of the wire.
struct WireMessage {
  private var payloads: [(number: UInt32, range: Range<Int>)] = []
  private var varints: [(number: UInt32, value: UInt64)] = []

  init(_ range: Range<Int>, in bytes: Span<UInt8>) throws(WireError) {
    var cursor = WireCursor(range)
    while !cursor.isAtEnd {
      let tag = try cursor.tag(in: bytes)
      switch tag.type {
      case .bytes: payloads.append((tag.number, try cursor.payload(in: bytes)))
      case .varint: varints.append((tag.number, try cursor.varint(in: bytes)))
      default: try cursor.skip(tag, in: bytes)
      }
    }
  }

  /// The places of a string, bytes or message field; a singular one is the last.
  func ranges(_ number: UInt32) -> [Range<Int>] { payloads.filter { $0.number == number }.map(\.range) }

  func varint(_ number: UInt32) -> UInt64? { varints.last { $0.number == number }?.value }

  func strings(_ number: UInt32, in bytes: Span<UInt8>) -> [String] {
    var strings: [String] = []
    for range in ranges(number) {
      strings.append(String(decoding: [UInt8](span: bytes.extracting(range)), as: UTF8.self))
    }
    return strings
  }

  /// Empty when it was not sent.
  func string(_ number: UInt32, in bytes: Span<UInt8>) -> String { strings(number, in: bytes).last ?? "" }
}
