// FENCE for libprotobuf-c: what each type of field is in C.
import CProtobufC

/// A Swift type that a field can have.
package protocol ProtobufValue: Sendable {
  /// Bytes of one value in the C struct, which is also the step of a repeated field.
  static var slotBytes: Int { get }

  init(slot: borrowing ProtobufSlot) throws(ProtobufError)
  func write(to slot: borrowing ProtobufSlot)
}

extension ProtobufValue where Self: BitwiseCopyable {
  package static var slotBytes: Int { MemoryLayout<Self>.stride }
  package init(slot: borrowing ProtobufSlot) { self = slot.load(as: Self.self) }
  package func write(to slot: borrowing ProtobufSlot) { slot.store(self) }
}

extension Int32: ProtobufValue {}
extension UInt32: ProtobufValue {}
extension Int64: ProtobufValue {}
extension UInt64: ProtobufValue {}
extension Float: ProtobufValue {}
extension Double: ProtobufValue {}

extension Bool: ProtobufValue {
  // protobuf_c_boolean is an int.
  package static var slotBytes: Int { MemoryLayout<CInt>.stride }
  package init(slot: borrowing ProtobufSlot) { self = slot.load(as: CInt.self) != 0 }
  package func write(to slot: borrowing ProtobufSlot) { slot.store(self ? 1 : 0 as CInt) }
}

extension String: ProtobufValue {
  package static var slotBytes: Int { unsafe MemoryLayout<ProtobufCBinaryData>.stride }
  package init(slot: borrowing ProtobufSlot) throws(ProtobufError) { self = try slot.loadString() }
  package func write(to slot: borrowing ProtobufSlot) {
    var copy = self
    copy.withUTF8 { unsafe slot.storeBytes(UnsafeRawBufferPointer($0)) }
  }
}

extension [UInt8]: ProtobufValue {
  package static var slotBytes: Int { unsafe MemoryLayout<ProtobufCBinaryData>.stride }
  package init(slot: borrowing ProtobufSlot) { self = slot.loadBytes() }
  package func write(to slot: borrowing ProtobufSlot) {
    unsafe withUnsafeBytes { unsafe slot.storeBytes($0) }
  }
}

extension ProtobufEnum {
  package static var slotBytes: Int { MemoryLayout<Int32>.stride }
  package init(slot: borrowing ProtobufSlot) { self.init(rawValue: slot.load(as: Int32.self)) }
  package func write(to slot: borrowing ProtobufSlot) { slot.store(rawValue) }
}

extension ProtobufMessage {
  package static var slotBytes: Int { unsafe MemoryLayout<UnsafeMutableRawPointer>.stride }
  package init(slot: borrowing ProtobufSlot) throws(ProtobufError) { self = try slot.loadMessage() }
  package func write(to slot: borrowing ProtobufSlot) { slot.storeMessage(self) }
}
