// FENCE for libprotobuf-c: reads the fields of an unpacked message.
import CProtobufC

/// The fields of one unpacked message, by their place in libprotobuf-c's table (ascending field number). It is lent to
/// generated code, which cannot keep it: it is not copyable and only ever borrowed.
@safe package struct ProtobufReader: ~Copyable {
  private let message: UnsafeMutableRawPointer
  private let type: ProtobufType

  init(_ message: UnsafeMutableRawPointer, type: ProtobufType) {
    unsafe self.message = message
    self.type = type
  }

  /// A field without presence, or one that `oneofCase` has named.
  package func value<Value: ProtobufValue>(_ index: Int) throws(ProtobufError) -> Value { try get(index) }

  /// A message field or an `optional` one; nil when it was not sent.
  package func optional<Value: ProtobufValue>(_ index: Int) throws(ProtobufError) -> Value? { try getOptional(index) }

  func get<Value: ProtobufValue>(_ index: Int) throws(ProtobufError) -> Value {
    try Value(slot: unsafe slot(index, at: message + Int(field(index).pointee.offset)))
  }

  func getOptional<Value: ProtobufValue>(_ index: Int) throws(ProtobufError) -> Value? {
    guard unsafe isPresent(field(index)) else { return nil }
    return try get(index)
  }

  package func array<Value: ProtobufValue>(_ index: Int) throws(ProtobufError) -> [Value] {
    let field = unsafe field(index)
    let count = unsafe message.load(fromByteOffset: Int(field.pointee.quantifier_offset), as: Int.self)
    guard count > 0 else { return [] }
    let start = unsafe message.load(fromByteOffset: Int(field.pointee.offset), as: UnsafeMutableRawPointer.self)
    var values: [Value] = []
    values.reserveCapacity(count)
    for position in 0..<count {
      values.append(try Value(slot: unsafe slot(index, at: start + position * Value.slotBytes)))
    }
    return values
  }

  /// A map: a repeated message whose fields are key and value. The last entry of a key wins.
  package func map<Key: ProtobufValue & Hashable, Value: ProtobufValue>(
    _ index: Int
  ) throws(ProtobufError) -> [Key: Value] {
    let field = unsafe field(index)
    let count = unsafe message.load(fromByteOffset: Int(field.pointee.quantifier_offset), as: Int.self)
    guard count > 0 else { return [:] }
    let entries = unsafe message.load(
      fromByteOffset: Int(field.pointee.offset), as: UnsafeMutablePointer<UnsafeMutableRawPointer>.self)
    let entryType = unsafe field.messageType
    var values = [Key: Value](minimumCapacity: count)
    for position in 0..<count {
      let entry = unsafe ProtobufReader(entries[position], type: entryType)
      values[try entry.value(0)] = try entry.value(1) as Value
    }
    return values
  }

  /// The number of the field that is set in the oneof of this field; 0 when none is.
  package func oneofCase(_ index: Int) -> UInt32 {
    unsafe message.load(fromByteOffset: Int(field(index).pointee.quantifier_offset), as: UInt32.self)
  }

  private func isPresent(_ field: UnsafePointer<ProtobufCFieldDescriptor>) -> Bool {
    if unsafe field.isInOneof {
      let set = unsafe message.load(fromByteOffset: Int(field.pointee.quantifier_offset), as: UInt32.self)
      return unsafe set == field.pointee.id
    }
    // Outside a oneof only a message has presence: its pointer.
    return unsafe message.load(fromByteOffset: Int(field.pointee.offset), as: UnsafeMutableRawPointer?.self) != nil
  }

  private func field(_ index: Int) -> UnsafePointer<ProtobufCFieldDescriptor> { unsafe type.field(index) }

  private func slot(_ index: Int, at address: UnsafeMutableRawPointer) -> ProtobufSlot {
    unsafe ProtobufSlot(address, field: field(index), type: type, arena: nil)
  }
}
