// The known differences between `IngestDecoder` and libprotobuf-c, found in the bytes themselves.

/// What in a message the two read differently. Whatever is not listed here they must read the same.
package struct ProtobufCDifference: OptionSet {
  package let rawValue: Int

  /// A known field with another wire type: the specification skips it as unknown, libprotobuf-c refuses the message.
  package static let wireType = Self(rawValue: 1)
  /// A group: the specification skips it, libprotobuf-c refuses the message.
  package static let group = Self(rawValue: 2)
  /// A field number of 0 or above 2^29-1: the specification forbids it, libprotobuf-c skips it.
  package static let fieldNumber = Self(rawValue: 4)
  /// A message field that comes twice: the specification merges, libprotobuf-c 1.4.1 loses fields or refuses.
  package static let merge = Self(rawValue: 8)
  /// Members of a oneof that a later one replaces: ours does not look into them, libprotobuf-c refuses malformed ones.
  package static let replaced = Self(rawValue: 16)

  /// What the fields of a message may be.
  package indirect enum Kind {
    case varint, fixed32, text, packedVarint, packedFixed32
    case message([UInt64: Kind], isRepeated: Bool)
  }

  static let reading: [UInt64: Kind] = {
    let timestamp = Kind.message([1: .varint, 2: .varint], isRepeated: false)
    var fields: [UInt64: Kind] = [1: .text, 2: timestamp, 11: .text, 12: .varint]
    for number in [3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16, 17] as [UInt64] { fields[number] = .fixed32 }
    return fields
  }()
  static let block: [UInt64: Kind] = {
    var fields: [UInt64: Kind] = [1: .text, 2: .varint, 3: .packedVarint, 12: .text]
    for number in [4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17] as [UInt64] { fields[number] = .packedFixed32 }
    return fields
  }()
  package static let ingestRequest: [UInt64: Kind] = [
    1: .text, 2: .varint, 3: .varint, 4: .message(reading, isRepeated: true), 5: .message(block, isRepeated: true),
  ]
  package static let ingestReadingRequest: [UInt64: Kind] = [1: .message(reading, isRepeated: false)]
  package static let streamRequest: [UInt64: Kind] = [
    1: .message([1: .text, 2: .varint, 3: .varint], isRepeated: false),
    2: .message([1: .varint, 2: .message(reading, isRepeated: true), 3: .message(block, isRepeated: true)],
                isRepeated: false),
  ]

  package init(rawValue: Int) { self.rawValue = rawValue }

  /// Looks through a message until its end or until it is malformed. `oneof` has the numbers of its oneof.
  package init(in bytes: ArraySlice<UInt8>, fields: [UInt64: Kind], oneof: Set<UInt64> = []) {
    self = []
    var position = bytes.startIndex
    var seen: Set<UInt64> = []
    while let key = Self.varint(bytes, &position) {
      let (number, type) = (key >> 3, key & 7)
      if number == 0 || number > 536_870_911 { insert(.fieldNumber) }
      if type == 3 || type == 4 { insert(.group) }
      let start = position
      guard Self.skip(type, bytes, &position) else { return }
      guard let kind = fields[number] else { continue }
      if !kind.allows(type) {
        insert(.wireType)
      } else if case .message(let inner, let isRepeated) = kind {
        if !isRepeated, !seen.insert(number).inserted { insert(.merge) }
        if oneof.contains(number), seen.intersection(oneof).count > 1 { insert(.replaced) }
        var payload = start
        _ = Self.varint(bytes, &payload)
        formUnion(Self(in: bytes[payload..<position], fields: inner))
      }
    }
  }

  /// A message without the known fields that are of another wire type; what is malformed stays.
  package static func cleaned(_ bytes: ArraySlice<UInt8>, fields: [UInt64: Kind]) -> [UInt8] {
    var output: [UInt8] = []
    var position = bytes.startIndex
    while position < bytes.endIndex {
      let start = position
      guard let key = varint(bytes, &position) else { return output + bytes[start...] }
      var payload = position
      guard skip(key & 7, bytes, &position) else { return output + bytes[start...] }
      guard let kind = fields[key >> 3] else {
        output += bytes[start..<position]
        continue
      }
      guard kind.allows(key & 7) else { continue }
      if case .message(let inner, _) = kind {
        _ = varint(bytes, &payload)
        let message = cleaned(bytes[payload..<position], fields: inner)
        output += WireFields.varint(key) + WireFields.varint(UInt64(message.count)) + message
      } else {
        output += bytes[start..<position]
      }
    }
    return output
  }

  private static func skip(_ type: UInt64, _ bytes: ArraySlice<UInt8>, _ position: inout Int) -> Bool {
    switch type {
    case 0: return varint(bytes, &position) != nil
    case 1: position += 8
    case 2:
      guard let length = varint(bytes, &position), length <= UInt64(bytes.endIndex - position) else { return false }
      position += Int(length)
    case 5: position += 4
    default: return false
    }
    return position <= bytes.endIndex
  }

  private static func varint(_ bytes: ArraySlice<UInt8>, _ position: inout Int) -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: 0 as UInt64, to: 70, by: 7) {
      guard position < bytes.endIndex else { return nil }
      value |= UInt64(bytes[position] & 0x7f) << shift
      position += 1
      if bytes[position - 1] < 0x80 { return value }
    }
    return nil
  }
}

extension ProtobufCDifference.Kind {
  fileprivate func allows(_ wireType: UInt64) -> Bool {
    switch self {
    case .varint: wireType == 0
    case .fixed32: wireType == 5
    case .text, .message: wireType == 2
    case .packedVarint: wireType == 0 || wireType == 2
    case .packedFixed32: wireType == 5 || wireType == 2
    }
  }
}
