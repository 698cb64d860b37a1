// A status as trailers: grpc-status, grpc-message, grpc-status-details-bin and further metadata.
package import HTTPCore
package import Status

/// Writes statuses as the fields that end a gRPC response.
package struct StatusFields: Sendable {
  /// Makes a serialized `google.rpc.Status`, or nothing; this module knows no protobuf.
  package typealias DetailsEncoder = @Sendable (RPCStatus) -> [UInt8]

  private let encodeDetails: DetailsEncoder
  /// Trailers of a call that went well.
  static let ok = PreparedFields(trailers: HTTPFields([("grpc-status", "0")]))

  package init(encodeDetails: @escaping DetailsEncoder) { self.encodeDetails = encodeDetails }

  package func trailers(_ status: RPCStatus) -> HTTPFields {
    if status.code == .ok { return Self.ok.fields }
    var fields = HTTPFields()
    append(status, to: &fields)
    return fields
  }

  package func append(_ status: RPCStatus, to fields: inout HTTPFields) {
    fields.append("grpc-status", String(status.code.rawValue))
    if !status.message.isEmpty { fields.append("grpc-message", Self.percentEncoded(status.message)) }
    for (name, value) in status.metadata { fields.append(name, value) }
    let details = encodeDetails(status)
    if !details.isEmpty { fields.append("grpc-status-details-bin", binary: details) }
  }

  /// Bytes outside 0x20...0x7E and the percent sign as %XX (gRPC over HTTP/2, "Percent-Encoded"); a space at either end
  /// too, for a field with one is malformed (RFC 9113 8.2.1).
  package static func percentEncoded(_ text: String) -> String {
    let bytes = Array(text.utf8)
    var encoded: [UInt8] = []
    encoded.reserveCapacity(bytes.count)
    for (index, byte) in bytes.enumerated() {
      let isAtEnd = index == 0 || index == bytes.count - 1
      if byte > 0x20 || byte == 0x20 && !isAtEnd, byte <= 0x7E, byte != UInt8(ascii: "%") {
        encoded.append(byte)
      } else {
        encoded += [UInt8(ascii: "%"), hexDigits[Int(byte >> 4)], hexDigits[Int(byte & 15)]]
      }
    }
    return String(decoding: encoded, as: UTF8.self)
  }

  private static let hexDigits = Array("0123456789ABCDEF".utf8)
}
