// A field's number and how its value lies on the wire (protobuf encoding specification).

enum WireType: UInt32 {
  case varint = 0, fixed64 = 1, bytes = 2, startGroup = 3, endGroup = 4, fixed32 = 5
}

/// The key before each field: number and wire type.
struct WireTag: Equatable {
  var rawValue: UInt32

  @inline(__always) init(rawValue: UInt32) { self.rawValue = rawValue }

  @inline(__always) init(_ number: UInt32, _ type: WireType) { rawValue = number << 3 | type.rawValue }

  @inline(__always) var number: UInt32 { rawValue >> 3 }
  @inline(__always) var type: WireType? { WireType(rawValue: rawValue & 7) }

  @inline(__always) static func ~= (pattern: WireTag, value: WireTag) -> Bool { pattern.rawValue == value.rawValue }
}
