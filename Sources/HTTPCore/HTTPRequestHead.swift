// The head of a request, the same for every HTTP version.

/// Method, path and fields of a request.
public struct HTTPRequestHead: Sendable {
  /// Pseudo-header fields of HTTP/2 (`:method`, `:path`, ...) first, then the others.
  public var fields = HTTPFields()
  /// Shared by requests with the very same fields; nil where the transport does not know such.
  public var memo: HTTPHeadMemo?

  public init() {}

  public var method: String { fields[":method"] ?? "" }
  public var path: String { fields[":path"] ?? "" }

  public func isMethod(_ method: String) -> Bool {
    guard let index = fields.firstIndex(of: KnownField.method) else { return false }
    return fields.withValue(at: index) { $0.isEqual(to: method) }
  }

  /// Gives the path without making a String of it; empty when there is none.
  public func withPath<Result>(_ body: (Span<UInt8>) -> Result) -> Result {
    guard let index = fields.firstIndex(of: KnownField.path) else { return body([UInt8]().span) }
    return fields.withValue(at: index, body)
  }

  /// False when `host` says another authority than `:authority`, or `:authority` has user information in it (RFC 9113
  /// 8.3.1): two readers of such a request could take it for two different ones.
  public var namesOneAuthority: Bool {
    guard let index = fields.firstIndex(of: ":authority") else { return true }
    return fields.withValue(at: index) { authority in
      for byte in authority.indices where authority[byte] == UInt8(ascii: "@") { return false }
      guard let host = fields.firstIndex(of: "host") else { return true }
      return fields.withValue(at: host) { $0.equals(authority) }
    }
  }
}
