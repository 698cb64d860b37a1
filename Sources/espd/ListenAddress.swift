// Host and port of a listener, as they are written in a setting.
import Foundation

/// An address to listen on.
struct ListenAddress: Sendable, CustomStringConvertible {
  var host: String
  /// 0: any free one.
  var port: Int

  /// Splits `host:port` or `[::1]:port`.
  /// - Throws: `SettingsError` that names the setting.
  init(_ text: String, _ key: SettingKey) throws {
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
      throw SettingsError("\(key.name) is \(text); host:port is needed, for example 127.0.0.1:8095")
    }
    host = text[..<colon].trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
    self.port = Int(port)
    guard !host.isEmpty else {
      throw SettingsError("\(key.name) is \(text); a host is needed, for example 0.0.0.0 for all addresses")
    }
  }

  /// Nobody outside this machine can get there.
  var isLoopback: Bool {
    // Plain numbers only: a name that begins with 127 may be anybody's, and 0127 is read as octal.
    let octets = host.split(separator: ".", omittingEmptySubsequences: false).map { part in
      UInt8(part).flatMap { String($0) == part ? $0 : nil }
    }
    let isIPv4Loopback = octets.count == 4 && octets.first == 127 && !octets.contains(nil)
    return isIPv4Loopback || host == "::1" || host == "localhost"
  }

  /// As it is written, an IPv6 address in brackets.
  var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
