// FENCE for libprotobuf-c: the description of a message type.
import CContracts
import CProtobufC

/// libprotobuf-c's descriptor of one generated message.
@safe package struct ProtobufType: @unchecked Sendable {
  // @unchecked because descriptors are constants of the program.
  let descriptor: UnsafePointer<ProtobufCMessageDescriptor>

  /// The message of that full name. Only generated code asks, so a name that does not exist is our bug.
  package init(_ name: String) {
    for index in 0..<esp_message_type_count {
      let candidate = unsafe esp_message_type_at(index)!
      if unsafe String(cString: candidate.pointee.name) == name {
        unsafe descriptor = candidate
        return
      }
    }
    preconditionFailure("no message \(name) in CContracts: run proto/generate.sh")
  }

  package var name: String { unsafe String(cString: descriptor.pointee.name) }
}

/// The FileDescriptorSet of proto/ as protoc wrote it, with our method and field options.
package func embeddedDescriptorSet() -> [UInt8] {
  unsafe [UInt8](UnsafeBufferPointer(start: esp_descriptor_set_bytes(), count: esp_descriptor_set_length))
}
