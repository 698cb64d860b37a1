// The address of a peer as people write it: the form of logs, audit and ListStreams.

public enum PeerAddress {
  /// `127.0.0.1:50123`, or `[::1]:50123` as in URLs (RFC 3986 3.2.2).
  /// - Parameters:
  ///   - host: the numeric address; nil (with `port`) when the connection has none, or has none any more: `unknown`.
  public static func text(host: String?, port: Int?) -> String {
    guard let host, let port else { return "unknown" }
    return host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
  }
}
