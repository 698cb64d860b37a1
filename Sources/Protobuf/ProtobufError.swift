// Why bytes could not be read as a message.
package import Status

/// Bytes that are not what they should be: always the sender's fault.
package enum ProtobufError: Error, Sendable, Equatable {
  /// The bytes break the wire format, or a field has another wire type than its declaration. libprotobuf-c does not
  /// say where.
  case malformed(message: String)
  /// A string field that is not UTF-8, which libprotobuf-c does not check; by full name, "esp.v1.Reading.device_id".
  case invalidUTF8(field: String)

  /// INVALID_ARGUMENT for the client.
  package var rpcStatus: RPCStatus {
    switch self {
    case .malformed(let message): RPCStatus(.invalidArgument, "the bytes are not a valid \(message)")
    case .invalidUTF8(let field): .invalidField(String(field.split(separator: ".").last ?? ""), "is not valid UTF-8")
    }
  }
}
