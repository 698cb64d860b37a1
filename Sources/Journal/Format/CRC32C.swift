// CRC-32C (Castagnoli, RFC 3720 B.4), sixteen bytes a step. Fence file: reads its tables without bounds checks.

/// `CRC32C(of: a, then: b)` is that of the bytes of both one after the other.
struct CRC32C {
  private var state: UInt32 = ~0

  var value: UInt32 { ~state }

  mutating func update(_ bytes: Span<UInt8>) {
    unsafe bytes.withUnsafeBytes { unsafe update($0) }
  }

  /// Little endian.
  mutating func update(_ value: some FixedWidthInteger) {
    unsafe withUnsafeBytes(of: value.littleEndian) { unsafe update($0) }
  }

  private mutating func update(_ bytes: UnsafeRawBufferPointer) {
    var crc = state
    var offset = 0
    unsafe Self.tables.span.withUnsafeBufferPointer { tables in
      while offset + 16 <= bytes.count {
        let word = unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        let high = unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
        // The byte that comes first has the longest way to go: table 15.
        let first = unsafe Self.step(word ^ UInt64(crc), tables, from: 15)
        let second = unsafe Self.step(high, tables, from: 7)
        crc = first ^ second
        offset += 16
      }
      while offset < bytes.count {
        let index = unsafe Int(UInt8(truncatingIfNeeded: crc) ^ bytes[offset])
        crc = unsafe (crc >> 8) ^ tables[index]
        offset += 1
      }
    }
    state = crc
  }

  @inline(__always)
  private static func step(_ word: UInt64, _ tables: UnsafeBufferPointer<UInt32>, from table: Int) -> UInt32 {
    var crc: UInt32 = 0
    for byte in 0..<8 {
      let index = Int(UInt8(truncatingIfNeeded: word >> UInt64(8 * byte)))
      crc ^= unsafe tables[unchecked: (table - byte) << 8 | index]
    }
    return crc
  }

  /// Table k advances a byte over k bytes of zeros: 16 KiB, made once.
  private static let tables: [UInt32] = {
    var tables = [UInt32](repeating: 0, count: 16 * 256)
    for byte in 0..<256 {
      var crc = UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? (crc >> 1) ^ 0x82F6_3B78 : crc >> 1 }
      tables[byte] = crc
    }
    for index in 256..<tables.count {
      let before = tables[index - 256]
      tables[index] = (before >> 8) ^ tables[Int(before & 0xFF)]
    }
    return tables
  }()
}

extension UnsafeBufferPointer {
  /// Without the bounds check of a debug build, which the loop above makes good by construction.
  @inline(__always)
  fileprivate subscript(unchecked index: Int) -> Element { unsafe baseAddress.unsafelyUnwrapped[index] }
}
