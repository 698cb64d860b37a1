// The bytes of one run, read as choices: what the fuzzer changes then changes what happens, not whether it parses.

/// Gives zeros once the bytes are used up, so that any bytes are a whole input.
struct FuzzInput {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { rest = bytes[...] }

  var isAtEnd: Bool { rest.isEmpty }

  mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }
  mutating func isSet() -> Bool { byte() & 1 == 1 }
  mutating func uint16() -> UInt16 { UInt16(byte()) << 8 | UInt16(byte()) }
  mutating func uint32() -> UInt32 { UInt32(uint16()) << 16 | UInt32(uint16()) }
  /// One of some values.
  mutating func pick<Value>(_ values: [Value]) -> Value { values[Int(byte()) % values.count] }

  /// Up to `count` bytes, as many as there are.
  mutating func take(_ count: Int) -> [UInt8] {
    defer { rest = rest.dropFirst(count) }
    return Array(rest.prefix(count))
  }

  /// A length byte, then so many.
  mutating func block() -> [UInt8] { take(Int(byte())) }
  mutating func all() -> [UInt8] { take(rest.count) }
}
