// The first block of a segment file.

/// 44 bytes, little endian: magic (8), format version (4), bytes of the file (4), segment (8), end of the segment
/// before (4), zero (12), CRC-32C of all that (4). Every version of the format keeps this layout.
struct SegmentHeader: Equatable {
  /// Records begin here, in a block of their own: no later write touches the header.
  static let byteCount = 4096
  static let version: UInt32 = 1
  private static let magic = Array("ESPJRNL\n".utf8)
  private static let usedBytes = 44

  var segment: UInt64
  var segmentBytes: UInt32
  /// Where the records of the segment before end: all before that was durable when this segment began.
  var previousEnd: UInt32

  /// The whole block.
  var encoded: [UInt8] {
    var bytes = Self.magic
    bytes.append(littleEndian: Self.version)
    bytes.append(littleEndian: segmentBytes)
    bytes.append(littleEndian: segment)
    bytes.append(littleEndian: previousEnd)
    bytes += [UInt8](repeating: 0, count: 12)
    var crc = CRC32C()
    crc.update(bytes.span)
    bytes.append(littleEndian: crc.value)
    return bytes + [UInt8](repeating: 0, count: Self.byteCount - bytes.count)
  }

  enum Reading: Equatable {
    case header(SegmentHeader)
    /// Undamaged, but of another version of this program.
    case otherVersion(UInt32)
    case damaged
  }

  static func read(_ bytes: [UInt8]) -> Reading {
    guard bytes.count >= usedBytes, bytes[..<8] == magic[...] else { return .damaged }
    var crc = CRC32C()
    crc.update(bytes.span.extracting(0..<40))
    guard crc.value == bytes.span.integer(at: 40) else { return .damaged }
    let version: UInt32 = bytes.span.integer(at: 8)
    guard version == Self.version else { return .otherVersion(version) }
    return .header(SegmentHeader(segment: bytes.span.integer(at: 16), segmentBytes: bytes.span.integer(at: 12),
                                 previousEnd: bytes.span.integer(at: 24)))
  }
}
