// How the messages of a call may be compressed: grpc-encoding and grpc-accept-encoding.
internal import HTTPCore

/// An encoding of messages that we speak.
package enum MessageEncoding: Sendable, Equatable, CaseIterable {
  case identity
  /// RFC 1952.
  case gzip
  /// RFC 1950: deflate in zlib's wrapping, as HTTP and gRPC mean the word.
  case deflate

  /// The value of our grpc-accept-encoding.
  package static let accepted = allCases.map(\.name).joined(separator: ",")

  package var name: String {
    switch self {
    case .identity: "identity"
    case .gzip: "gzip"
    case .deflate: "deflate"
    }
  }

  /// The encoding of a `grpc-encoding` field; nil when we don't speak it.
  package init?(name: Span<UInt8>) {
    for encoding in Self.allCases where name.isEqual(to: encoding.name) {
      self = encoding
      return
    }
    return nil
  }

  /// The first of ours that a client's `grpc-accept-encoding` values name; identity when there is none.
  package static func best(accepted values: [String]) -> MessageEncoding {
    var names: Set<String> = []
    // RFC 9110 5.6.1: space around a name is none of it, space within makes it another name.
    for value in values { for name in value.split(separator: ",") { names.insert(trimmed(name)) } }
    let preferred: [MessageEncoding] = [.gzip, .deflate]
    return preferred.first { names.contains($0.name) } ?? .identity
  }

  private static func trimmed(_ name: Substring) -> String {
    var name = name.drop { $0 == " " }
    while name.last == " " { name.removeLast() }
    return String(name)
  }
}
