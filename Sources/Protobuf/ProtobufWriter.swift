// FENCE for libprotobuf-c: sets the fields of a message that is about to be packed.
import CProtobufC

/// The fields of one message in an arena, by their place in libprotobuf-c's table (ascending field number). It is lent
/// to generated code, which cannot keep it: it is not copyable and only ever borrowed.
@safe package struct ProtobufWriter: ~Copyable {
  private let message: UnsafeMutableRawPointer
  private let type: ProtobufType
  private let arena: ProtobufArena

  init(_ message: UnsafeMutableRawPointer, type: ProtobufType, arena: ProtobufArena) {
    unsafe self.message = message
    self.type = type
    self.arena = arena
  }

  /// A field without presence: its default is not sent.
  package func set(_ index: Int, _ value: some ProtobufValue) { put(index, value) }

  /// A message field, an `optional` one or one of a oneof: nil is not sent, the default of its type is.
  package func set(_ index: Int, optional value: (some ProtobufValue)?) { put(index, optional: value) }

  func put(_ index: Int, _ value: some ProtobufValue) {
    value.write(to: unsafe slot(index, at: message + Int(type.field(index).pointee.offset)))
  }

  func put(_ index: Int, optional value: (some ProtobufValue)?) {
    guard let value else { return }
    let field = unsafe type.field(index)
    if unsafe field.isInOneof {
      let number = unsafe field.pointee.id
      unsafe message.storeBytes(of: number, toByteOffset: Int(field.pointee.quantifier_offset), as: UInt32.self)
    }
    put(index, value)
  }

  package func set<Value: ProtobufValue>(_ index: Int, array values: [Value]) {
    guard !values.isEmpty else { return }
    let start = unsafe makeArray(index, count: values.count, stride: Value.slotBytes)
    for position in values.indices {
      values[position].write(to: unsafe slot(index, at: start + position * Value.slotBytes))
    }
  }

  /// Entries in the order of their keys, so that equal maps give equal bytes.
  package func set<Key: ProtobufValue & Hashable & Comparable, Value: ProtobufValue>(
    _ index: Int, map values: [Key: Value]
  ) {
    guard !values.isEmpty else { return }
    let stride = unsafe MemoryLayout<UnsafeMutableRawPointer>.stride
    let start = unsafe makeArray(index, count: values.count, stride: stride)
    let entryType = unsafe type.field(index).messageType
    for (position, (key, value)) in values.sorted(by: { $0.key < $1.key }).enumerated() {
      let entry = unsafe arena.makeMessage(entryType)
      unsafe (start + position * stride).storeBytes(of: entry, as: UnsafeMutableRawPointer.self)
      let writer = unsafe ProtobufWriter(entry, type: entryType, arena: arena)
      writer.set(0, key)
      writer.set(1, value)
    }
  }

  private func makeArray(_ index: Int, count: Int, stride: Int) -> UnsafeMutableRawPointer {
    let field = unsafe type.field(index)
    let start = unsafe arena.allocate(count * stride)
    unsafe message.storeBytes(of: count, toByteOffset: Int(field.pointee.quantifier_offset), as: Int.self)
    unsafe message.storeBytes(of: start, toByteOffset: Int(field.pointee.offset), as: UnsafeMutableRawPointer.self)
    return unsafe start
  }

  private func slot(_ index: Int, at address: UnsafeMutableRawPointer) -> ProtobufSlot {
    unsafe ProtobufSlot(address, field: type.field(index), type: type, arena: arena)
  }
}
