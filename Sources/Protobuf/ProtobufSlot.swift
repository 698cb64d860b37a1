// FENCE for libprotobuf-c: the place of one field value within a C struct.
import CProtobufC

/// Where one value of a message lies in memory. It cannot outlive the reader or writer that lends it: it is not
/// copyable and only ever borrowed.
@safe package struct ProtobufSlot: ~Copyable {
  private let address: UnsafeMutableRawPointer
  private let field: UnsafePointer<ProtobufCFieldDescriptor>
  private let type: ProtobufType
  /// Where a value that is not of fixed size is put; nil when reading.
  private let arena: ProtobufArena?

  init(
    _ address: UnsafeMutableRawPointer, field: UnsafePointer<ProtobufCFieldDescriptor>, type: ProtobufType,
    arena: ProtobufArena?
  ) {
    unsafe self.address = address
    unsafe self.field = field
    self.type = type
    self.arena = arena
  }

  func load<Scalar: BitwiseCopyable>(as _: Scalar.Type) -> Scalar {
    unsafe address.load(as: Scalar.self)
  }

  func store<Scalar: BitwiseCopyable>(_ value: Scalar) {
    unsafe address.storeBytes(of: value, as: Scalar.self)
  }

  /// A string or bytes field; both are bytes in the generated C (proto/generator/c_descriptors.py).
  func loadBytes() -> [UInt8] {
    unsafe [UInt8](UnsafeBufferPointer(binaryData))
  }

  /// Throws `invalidUTF8` naming the field.
  func loadString() throws(ProtobufError) -> String {
    guard let text = unsafe String(validating: UnsafeBufferPointer(binaryData), as: UTF8.self) else {
      throw unsafe .invalidUTF8(field: "\(type.name).\(String(cString: field.pointee.name))")
    }
    return text
  }

  private var binaryData: UnsafeMutableBufferPointer<UInt8> {
    let data = unsafe address.load(as: ProtobufCBinaryData.self)
    return unsafe UnsafeMutableBufferPointer(start: data.data, count: data.len)
  }

  /// Copies the bytes to the arena.
  func storeBytes(_ bytes: UnsafeRawBufferPointer) {
    guard let arena, bytes.count > 0 else { return unsafe store(ProtobufCBinaryData(len: 0, data: nil)) }
    let copy = unsafe arena.allocate(bytes.count)
    unsafe copy.copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
    unsafe store(ProtobufCBinaryData(len: bytes.count, data: copy.assumingMemoryBound(to: UInt8.self)))
  }

  /// The message that the slot points to, or an empty one when it points to none.
  func loadMessage<Message: ProtobufMessage>() throws(ProtobufError) -> Message {
    guard let message = unsafe address.load(as: UnsafeMutableRawPointer?.self) else { return Message() }
    return try Message(from: unsafe ProtobufReader(message, type: Message.protobufType))
  }

  /// Builds the message in the arena.
  func storeMessage(_ message: some ProtobufMessage) {
    guard let arena else { return }
    unsafe store(ProtobufCoding.build(message, in: arena))
  }
}
