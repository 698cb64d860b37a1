// Names that every request is asked for: recognised once, as its fields come.

/// A field whose place in `HTTPFields` is noted.
public enum KnownField: Int, Sendable {
  case method, path, contentType, grpcTimeout, grpcEncoding

  /// By length and bytes; nil for all other names.
  @inline(__always)
  init?(name: Span<UInt8>) {
    switch name.count {
    case 5 where name.matches(":path"): self = .path
    case 7 where name.matches(":method"): self = .method
    case 12 where name.matches("content-type"): self = .contentType
    case 12 where name.matches("grpc-timeout"): self = .grpcTimeout
    case 13 where name.matches("grpc-encoding"): self = .grpcEncoding
    default: return nil
    }
  }

  public var name: String {
    switch self {
    case .method: ":method"
    case .path: ":path"
    case .contentType: "content-type"
    case .grpcTimeout: "grpc-timeout"
    case .grpcEncoding: "grpc-encoding"
    }
  }

  /// Where its byte lies in `HTTPFields.known`.
  var shift: Int { 8 * rawValue }
}
