// FENCE for libprotobuf-c: the description of a message type.
import CMessageTypes
import CProtobufC

/// libprotobuf-c's descriptor of one generated message.
@safe package struct ProtobufType: @unchecked Sendable {
  // @unchecked because descriptors are constants of the program.
  let descriptor: UnsafePointer<ProtobufCMessageDescriptor>

  /// The message of that full name. Only generated code asks, so a name that does not exist is our bug.
  package init(_ name: String) {
    guard let found = unsafe message_type_named(name) else {
      preconditionFailure("no message \(name) in this program: run proto/generate.sh")
    }
    unsafe descriptor = found
  }

  package var name: String { unsafe String(cString: descriptor.pointee.name) }
}
