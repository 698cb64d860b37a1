// FENCE for libprotobuf-c: whole messages, in and out.
import CProtobufC

enum ProtobufCoding {
  /// Unpacks into an arena and reads the Swift value out of it.
  static func unpack<Message: ProtobufMessage>(_ bytes: Span<UInt8>) throws(ProtobufError) -> Message {
    try ProtobufArena.withArena { arena throws(ProtobufError) in
      var allocator = unsafe arena.allocator
      let unpacked = unsafe bytes.withUnsafeBufferPointer { buffer in
        unsafe protobuf_c_message_unpack(Message.protobufType.descriptor, &allocator, buffer.count, buffer.baseAddress)
      }
      // NULL: the bytes are malformed; the arena never refuses memory.
      guard let unpacked = unsafe unpacked else { throw .malformed(message: Message.protobufName) }
      return try Message(from: unsafe ProtobufReader(UnsafeMutableRawPointer(unpacked), type: Message.protobufType))
    }
  }

  /// Builds the C message in an arena and appends its packed bytes.
  static func pack(_ message: some ProtobufMessage, into output: inout [UInt8]) {
    ProtobufArena.withArena { arena in
      let built = unsafe build(message, in: arena).assumingMemoryBound(to: ProtobufCMessage.self)
      let byteCount = unsafe protobuf_c_message_get_packed_size(built)
      guard byteCount > 0 else { return }
      let start = output.count
      output.append(contentsOf: repeatElement(0, count: byteCount))
      unsafe output.withUnsafeMutableBufferPointer { buffer in
        let written = unsafe protobuf_c_message_pack(built, buffer.baseAddress! + start)
        precondition(written == byteCount, "libprotobuf-c wrote \(written) bytes of \(byteCount)")
      }
    }
  }

  static func build<Message: ProtobufMessage>(_ message: Message, in arena: ProtobufArena) -> UnsafeMutableRawPointer {
    let built = unsafe arena.makeMessage(Message.protobufType)
    message.write(to: unsafe ProtobufWriter(built, type: Message.protobufType, arena: arena))
    return unsafe built
  }
}

extension ProtobufArena {
  /// A message with all fields at their defaults.
  func makeMessage(_ type: ProtobufType) -> UnsafeMutableRawPointer {
    let message = unsafe allocate(type.descriptor.pointee.sizeof_message)
    unsafe protobuf_c_message_init(type.descriptor, message)
    return unsafe message
  }
}

extension ProtobufType {
  init(_ descriptor: UnsafePointer<ProtobufCMessageDescriptor>) { unsafe self.descriptor = descriptor }

  /// The place of a field is generated code's to know; a wrong one is our bug.
  func field(_ index: Int) -> UnsafePointer<ProtobufCFieldDescriptor> {
    unsafe precondition(index < Int(descriptor.pointee.n_fields), "\(name) has no field \(index)")
    return unsafe descriptor.pointee.fields + index
  }
}

extension UnsafePointer<ProtobufCFieldDescriptor> {
  /// True for members of a oneof and for `optional` fields, a oneof of one (proto/generator/c_descriptors.py).
  var isInOneof: Bool { unsafe pointee.flags & UInt32(PROTOBUF_C_FIELD_FLAG_ONEOF.rawValue) != 0 }

  /// The type of a message field.
  var messageType: ProtobufType {
    unsafe ProtobufType(pointee.descriptor!.assumingMemoryBound(to: ProtobufCMessageDescriptor.self))
  }
}
