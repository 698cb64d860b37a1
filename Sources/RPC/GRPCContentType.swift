// The content types of gRPC and of gRPC-Web.
internal import HTTPCore

/// What a request says that it carries. The answer says the same.
enum GRPCContentType: Equatable {
  case grpc
  /// Messages as gRPC frames them, trailers as one more frame.
  case web(isProto: Bool)
  /// The same in base64.
  case webText(isProto: Bool)

  /// nil: something else. Compared with bytes, no String: plain gRPC is decided first.
  init?(_ head: HTTPRequestHead) {
    guard let index = head.fields.firstIndex(of: KnownField.contentType),
          let type = head.fields.withValue(at: index, Self.parse) else { return nil }
    self = type
  }

  private static func parse(_ value: Span<UInt8>) -> GRPCContentType? {
    guard value.hasPrefix("application/grpc") else { return nil }
    let rest = value.extracting(16..<value.count)
    if isProto(rest) != nil { return .grpc }
    if rest.hasPrefix("-web-text") { return isProto(rest.extracting(9..<rest.count)).map { .webText(isProto: $0) } }
    if rest.hasPrefix("-web") { return isProto(rest.extracting(4..<rest.count)).map { .web(isProto: $0) } }
    return nil
  }

  /// Whether `+proto` stands there, or nothing, each alone or before parameters; nil when anything else does.
  private static func isProto(_ rest: Span<UInt8>) -> Bool? {
    if rest.isEmpty || rest[0] == UInt8(ascii: ";") { return false }
    return rest.isEqual(to: "+proto") || rest.hasPrefix("+proto;") ? true : nil
  }

  var isText: Bool { if case .webText = self { true } else { false } }

  /// For the answer.
  var name: String {
    switch self {
    case .grpc: "application/grpc"
    case .web(let isProto): isProto ? "application/grpc-web+proto" : "application/grpc-web"
    case .webText(let isProto): isProto ? "application/grpc-web-text+proto" : "application/grpc-web-text"
    }
  }
}
