// Changes to wire bytes: some that keep the meaning, some that damage it.
import IngestReference

extension SplitMix64 {
  /// The same message said in another way: fields in another order, numbers unpacked, unknown fields between.
  mutating func rearranged(_ bytes: [UInt8], packed: Set<UInt8>) -> [UInt8] {
    var fields = WireFields(bytes).fields
    if once(in: 2) { fields.shuffle(using: &self) }
    var output: [UInt8] = []
    for field in fields {
      if once(in: 8) { output += pick(Self.unknownFields) }
      output += once(in: 3) ? unpacked(field, packed: packed) : field
    }
    return output
  }

  /// A packed column of floats as single floats, in order. `packed` has the keys of such fields, one byte each.
  private func unpacked(_ field: [UInt8], packed: Set<UInt8>) -> [UInt8] {
    guard let key = field.first, packed.contains(key), field.count >= 2, field[1] < 0x80 else { return field }
    let payload = field.dropFirst(2)
    return stride(from: payload.startIndex, to: payload.endIndex, by: 4).flatMap { position in
      [key & ~7 | 5] + payload[position..<position + 4]
    }
  }

  /// Field 99 in each wire type.
  private static let unknownFields: [[UInt8]] = [
    [0x98, 0x06, 0x01], [0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8], [0x9a, 0x06, 2, 1, 2], [0x9d, 0x06, 1, 2, 3, 4],
  ]

  /// One to three damages: bytes changed, put in, taken out, doubled or cut off.
  mutating func damaged(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...3, using: &self) where !bytes.isEmpty {
      let position = bytes.indices.randomElement(using: &self)!
      switch Int.random(in: 0..<8, using: &self) {
      case 0, 1, 2: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &self)
      case 3: bytes[position] = pick([0, 1, 0x7f, 0x80, 0xff])
      case 4: bytes.insert(UInt8.random(in: 0...255, using: &self), at: position)
      case 5: bytes.remove(at: position)
      case 6: bytes.removeLast(bytes.count - position)
      default:
        let end = Int.random(in: position...min(bytes.count, position + 12), using: &self)
        bytes.insert(contentsOf: bytes[position..<end], at: bytes.indices.randomElement(using: &self)!)
      }
    }
    return bytes
  }
}
