// Metadata of a call as header fields: binary values, and names that methods leave alone.
package import HTTPCore
package import Status

extension HTTPFields {
  /// The values of a `-bin` field, decoded; one field may hold several, joined by commas.
  /// - Throws: INVALID_ARGUMENT when a value is not base64.
  package func binaryValues(of name: String) throws(RPCStatus) -> [[UInt8]] {
    precondition(name.hasSuffix("-bin"), "\(name) is not the name of a binary field")
    var decoded: [[UInt8]] = []
    for value in values(of: name) {
      for part in value.split(separator: ",", omittingEmptySubsequences: false) {
        guard let bytes = Base64.decode(Array(part.utf8.filter { $0 != UInt8(ascii: " ") })) else {
          throw RPCStatus(.invalidArgument, "the metadata \(name) is not base64: \(part)")
        }
        decoded.append(bytes)
      }
    }
    return decoded
  }

  /// Adds a binary value; the name ends in `-bin`.
  package mutating func append(_ name: String, binary value: [UInt8]) {
    precondition(name.hasSuffix("-bin"), "\(name) is not the name of a binary field")
    append(name, Base64.encode(value))
  }

  /// Whether no field has a name that belongs to HTTP or to gRPC itself.
  var areMetadata: Bool {
    var areMetadata = true
    forEach { name, _ in
      if name.hasPrefix(":") || name.hasPrefix("grpc-") || name.isEqual(to: "content-type") || name.isEqual(to: "te") {
        areMetadata = false
      }
    }
    return areMetadata
  }
}
