// Walks over protobuf wire bytes without copying them, and without trusting them.

/// A place within a part of a message. The bytes are given to each call, because a struct cannot hold a `Span` yet;
/// positions are those of the whole message, so that an error can say where.
struct WireCursor {
  private(set) var position: Int
  let end: Int

  /// Deepest nesting of groups that is skipped; groups are older than proto3 and nobody sends them.
  private static let maximumGroupDepth = 100

  @inline(__always) init(_ range: Range<Int>) {
    position = range.lowerBound
    end = range.upperBound
  }

  @inline(__always) var isAtEnd: Bool { position >= end }

  /// The next field's key.
  @inline(__always) mutating func tag(in bytes: Span<UInt8>) throws(WireError) -> WireTag {
    let start = position
    guard start < end else { throw WireError(.truncated, at: start) }
    let first = bytes[start]
    // One byte, and a number that is not 0: fields 1 to 15.
    if first < 0x80, first >= 8 {
      position = start + 1
      return WireTag(rawValue: UInt32(first))
    }
    return try longTag(in: bytes)
  }

  private mutating func longTag(in bytes: Span<UInt8>) throws(WireError) -> WireTag {
    let start = position
    let value = try varint(in: bytes)
    // 29 bits of field number and 3 of wire type; written in 5 bytes at most.
    guard value <= UInt64(UInt32.max), value >= 8, position - start <= 5 else {
      throw WireError(.invalidTag, at: start)
    }
    return WireTag(rawValue: UInt32(value))
  }

  /// A varint; bits beyond the 64th are dropped, as every implementation does.
  @inline(__always) mutating func varint(in bytes: Span<UInt8>) throws(WireError) -> UInt64 {
    if position < end, bytes[position] < 0x80 {
      position += 1
      return UInt64(bytes[position - 1])
    }
    return try longVarint(in: bytes)
  }

  private mutating func longVarint(in bytes: Span<UInt8>) throws(WireError) -> UInt64 {
    let start = position
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while position < end {
      let byte = bytes[position]
      position += 1
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
      shift += 7
      if shift == 70 { throw WireError(.varintTooLong, at: start) }
    }
    throw WireError(.truncated, at: start)
  }

  @inline(__always) mutating func fixed32(in bytes: Span<UInt8>) throws(WireError) -> UInt32 {
    guard end - position >= 4 else { throw WireError(.truncated, at: position) }
    let value = Self.fixed32(in: bytes, at: position)
    position += 4
    return value
  }

  /// Four bytes, little-endian; the caller knows that they are there.
  @inline(__always) static func fixed32(in bytes: Span<UInt8>, at position: Int) -> UInt32 {
    let four = bytes.extracting(position..<position + 4)
    return UInt32(four[0]) | UInt32(four[1]) << 8 | UInt32(four[2]) << 16 | UInt32(four[3]) << 24
  }

  /// The range of a string, bytes, message or packed field.
  @inline(__always) mutating func payload(in bytes: Span<UInt8>) throws(WireError) -> Range<Int> {
    let start = position
    let length = try varint(in: bytes)
    // As libprotobuf-c and the C++ runtime: a length has 5 bytes at most.
    guard position - start <= 5 else { throw WireError(.lengthTooLong, at: start) }
    guard length <= UInt64(end - position) else { throw WireError(.truncated, at: start) }
    let range = position..<position + Int(length)
    position = range.upperBound
    return range
  }

  /// Skips the value of a field that is not known, or is not of its declared type.
  mutating func skip(_ tag: WireTag, in bytes: Span<UInt8>) throws(WireError) {
    switch tag.type {
    case .varint: _ = try varint(in: bytes)
    case .fixed64: try advance(8)
    case .bytes: _ = try payload(in: bytes)
    case .startGroup: try skipGroup(tag.number, in: bytes)
    case .endGroup: throw WireError(.unmatchedGroup, at: position)
    case .fixed32: try advance(4)
    case nil: throw WireError(.invalidWireType, at: position)
    }
  }

  private mutating func advance(_ byteCount: Int) throws(WireError) {
    guard end - position >= byteCount else { throw WireError(.truncated, at: position) }
    position += byteCount
  }

  private mutating func skipGroup(_ number: UInt32, in bytes: Span<UInt8>) throws(WireError) {
    var open = [number]
    while let innermost = open.last {
      guard !isAtEnd else { throw WireError(.unmatchedGroup, at: position) }
      let tag = try tag(in: bytes)
      switch tag.type {
      case .startGroup:
        guard open.count < Self.maximumGroupDepth else { throw WireError(.tooDeep, at: position) }
        open.append(tag.number)
      case .endGroup:
        guard tag.number == innermost else { throw WireError(.unmatchedGroup, at: position) }
        open.removeLast()
      default:
        try skip(tag, in: bytes)
      }
    }
  }
}
