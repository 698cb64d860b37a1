// A parser of wire bytes that is independent of ours: for tests to take messages apart.

/// The fields of a well-formed message without groups, each with its key: a parser of its own, independent of ours.
package struct WireFields {
  package private(set) var fields: [[UInt8]] = []

  package init(_ bytes: [UInt8]) {
    var position = 0
    while position < bytes.count {
      let start = position
      let key = Self.varint(bytes, &position)
      switch key & 7 {
      case 0: _ = Self.varint(bytes, &position)
      case 1: position += 8
      case 5: position += 4
      default:
        let length = Self.varint(bytes, &position)
        position += Int(length)
      }
      fields.append(Array(bytes[start..<position]))
    }
  }

  package static func varint(_ value: UInt64) -> [UInt8] {
    value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7f) | 0x80] + varint(value >> 7)
  }

  private static func varint(_ bytes: [UInt8], _ position: inout Int) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    repeat {
      value |= UInt64(bytes[position] & 0x7f) << shift
      shift += 7
      position += 1
    } while bytes[position - 1] >= 0x80
    return value
  }
}
