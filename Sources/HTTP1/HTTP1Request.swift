// What a parsed request head means to us, and which heads are refused. Pure.
internal import HTTPCore
internal import NIOHTTP1

/// A request that is answered here and not by a handler; the connection closes behind it.
struct HTTP1Refusal: Error, Equatable {
  let status: Int
  /// One sentence for who wrote the client.
  let reason: String

  init(_ status: Int, _ reason: String) {
    self.status = status
    self.reason = reason
  }

  /// What llhttp could not read. It is strict: see `RequestSmugglingTests`.
  init(_ error: HTTPParserError) {
    self = switch error {
    case .headerOverflow: HTTP1Refusal(431, "the request head is too large")
    case .invalidVersion: HTTP1Refusal(505, "HTTP/1.1 or HTTP/2 is needed")
    case .invalidMethod: HTTP1Refusal(501, "unknown method")
    default: HTTP1Refusal(400, "malformed request: \(error)")
    }
  }
}

/// The head of a request in the form that all versions share, and what HTTP/1.1 alone has to know of it.
struct HTTP1Request {
  let head: HTTPCore.HTTPRequestHead
  let isHTTP10: Bool
  /// HEAD: the answer has no body, whatever its fields say.
  let wantsHeadOnly: Bool
  /// As far as the client is concerned.
  let keepsAlive: Bool
  /// The client waits for 100 before it sends the body.
  let expectsContinue: Bool
  /// The client reads trailers.
  let takesTrailers: Bool
  /// The whole body is at most so long; nil when nobody knows.
  let bodyByteCount: Int?

  /// Fields of a connection, which HTTP/2 has no word for: nobody above is to see them.
  private static let connectionFields: Set<String> = [
    "connection", "expect", "host", "http2-settings", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade",
  ]

  /// - Throws: what the client gets instead of an answer.
  init(_ parsed: NIOHTTP1.HTTPRequestHead, scheme: String, limits: HTTP1Limits) throws(HTTP1Refusal) {
    let target = Array(parsed.uri.utf8)
    guard target.count <= limits.maximumTargetBytes else {
      throw HTTP1Refusal(414, "the request target has \(target.count) bytes; the limit is \(limits.maximumTargetBytes)")
    }
    guard parsed.method != .CONNECT else { throw HTTP1Refusal(501, "CONNECT is for proxies") }
    isHTTP10 = parsed.version == .http1_0
    let isChunked = try Self.isChunked(parsed.headers, isHTTP10: isHTTP10)
    let host = try Self.host(parsed.headers, isHTTP10: isHTTP10)
    let (authority, path) = try Self.parts(of: parsed.uri, isOptions: parsed.method == .OPTIONS)

    var fields = HTTPFields()
    fields.append(":method", parsed.method.rawValue)
    fields.append(":path", path)
    fields.append(":scheme", scheme)
    fields.append(":authority", authority ?? host)
    for (name, value) in parsed.headers {
      let name = name.lowercased()
      if !Self.connectionFields.contains(name) { fields.append(name, Self.trimmed(value)) }
    }
    guard fields.listByteCount <= limits.maximumHeaderListBytes else {
      throw HTTP1Refusal(431, "the header fields count \(fields.listByteCount) bytes; the limit is "
        + "\(limits.maximumHeaderListBytes)")
    }
    var head = HTTPCore.HTTPRequestHead()
    head.fields = fields
    self.head = head

    wantsHeadOnly = parsed.method == .HEAD
    // A client that asks for another protocol is answered in this one; the parser stops behind such a request.
    keepsAlive = parsed.isKeepAlive && !parsed.headers.contains(name: "upgrade")
    expectsContinue = try Self.expectsContinue(parsed.headers, isHTTP10: isHTTP10)
    takesTrailers = parsed.headers["te"].contains { $0.lowercased().contains("trailers") }
    // The parser has seen that it is a number.
    bodyByteCount = isChunked ? nil : parsed.headers.first(name: "content-length").map { Int($0) ?? .max } ?? 0
  }

  /// RFC 9112 6.1: the only transfer coding that we read is `chunked`, once; and HTTP/1.0 has none.
  private static func isChunked(_ headers: HTTPHeaders, isHTTP10: Bool) throws(HTTP1Refusal) -> Bool {
    let codings = headers["transfer-encoding"]
    guard let coding = codings.first else { return false }
    guard !isHTTP10 else { throw HTTP1Refusal(400, "HTTP/1.0 has no transfer-encoding") }
    guard codings.count == 1, trimmed(coding).lowercased() == "chunked" else {
      throw HTTP1Refusal(501, "transfer-encoding: chunked is the only one that is read")
    }
    guard !headers.contains(name: "content-length") else {
      throw HTTP1Refusal(400, "content-length beside transfer-encoding")
    }
    return true
  }

  /// RFC 9112 3.2: exactly one; HTTP/1.0 may have none.
  private static func host(_ headers: HTTPHeaders, isHTTP10: Bool) throws(HTTP1Refusal) -> String {
    let hosts = headers["host"]
    guard hosts.count <= 1 else { throw HTTP1Refusal(400, "more than one host field") }
    guard let host = hosts.first.map(trimmed) else {
      guard isHTTP10 else { throw HTTP1Refusal(400, "the host field is missing") }
      return ""
    }
    guard host.utf8.allSatisfy(isOfAuthority) else { throw HTTP1Refusal(400, "the host field is no host") }
    return host
  }

  /// Host and port: no user, path, query or second value.
  private static func isOfAuthority(_ byte: UInt8) -> Bool {
    byte > 0x20 && byte < 0x7F && !"\"#,/<>?@\\^`{|}".utf8.contains(byte)
  }

  /// RFC 9112 3.2.1 to 3.2.4: `/path`, `http://host/path`, and `*` of OPTIONS.
  private static func parts(of target: String,
                            isOptions: Bool) throws(HTTP1Refusal) -> (authority: String?, path: String) {
    guard !target.utf8.contains(UInt8(ascii: "#")) else { throw HTTP1Refusal(400, "a request target has no fragment") }
    if target.hasPrefix("/") || target == "*" && isOptions { return (nil, target) }
    for scheme in ["http://", "https://"] where target.prefix(scheme.count).lowercased() == scheme {
      let rest = target.dropFirst(scheme.count)
      let authority = rest.prefix { $0 != "/" && $0 != "?" }
      guard !authority.isEmpty, authority.utf8.allSatisfy(isOfAuthority) else { break }
      let path = rest.dropFirst(authority.count)
      if path.isEmpty { return (String(authority), isOptions ? "*" : "/") }
      return (String(authority), path.hasPrefix("/") ? String(path) : "/" + path)
    }
    throw HTTP1Refusal(400, "the request target is neither a path nor a http(s) address")
  }

  private static func expectsContinue(_ headers: HTTPHeaders, isHTTP10: Bool) throws(HTTP1Refusal) -> Bool {
    guard !isHTTP10, let expectation = headers.first(name: "expect") else { return false }
    guard trimmed(expectation).lowercased() == "100-continue" else {
      throw HTTP1Refusal(417, "expect: 100-continue is the only expectation that is met")
    }
    return true
  }

  /// Without the optional whitespace around a field's value.
  private static func trimmed(_ value: String) -> String {
    let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
    guard let last = value.lastIndex(where: { !isSpace($0) }) else { return "" }
    return String(value[...last].drop(while: isSpace))
  }
}
