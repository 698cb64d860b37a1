// Certificates of one test, made by the `openssl` command: the server reads what another program wrote.
import Foundation

/// A folder with an authority, a server certificate of it for localhost, and what a test adds. Gone with the value.
final class TestCertificates {
  struct CommandFailed: Error {
    let text: String
  }

  private static let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
  let folder: URL

  /// `ca.pem`, `server.pem` and their keys.
  init() throws {
    folder = FileManager.default.temporaryDirectory.appending(path: "esp tls \(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try makeAuthority("ca")
    try issue("server", subject: "/CN=localhost", names: "DNS:localhost,IP:127.0.0.1")
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  func path(_ name: String) -> String { folder.appending(path: name).path }

  func makeAuthority(_ name: String) throws {
    try openssl(["req", "-x509"] + Self.newKey + ["-days", "2", "-keyout", "\(name).key", "-out", "\(name).pem",
                                                  "-subj", "/CN=\(name)"])
    try restrict(name)
  }

  /// `<name>.pem` and `<name>.key`, signed by an authority.
  func issue(_ name: String, subject: String, names: String? = nil, by authority: String = "ca") throws {
    try openssl(["req", "-x509", "-CA", "\(authority).pem", "-CAkey", "\(authority).key"] + Self.newKey + [
      "-days", "2", "-keyout", "\(name).key", "-out", "\(name).pem", "-subj", subject,
      "-addext", "basicConstraints=critical,CA:FALSE",
    ] + (names.map { ["-addext", "subjectAltName=\($0)"] } ?? []))
    try restrict(name)
  }

  /// As `issue`, good until `end`.
  func issue(_ name: String, subject: String, until end: Date) throws {
    let configuration = """
      [ca]
      default_ca = dated
      [dated]
      database = index
      serial = serial
      new_certs_dir = .
      default_md = sha256
      policy = any
      [any]
      commonName = supplied
      """
    try Data(configuration.utf8).write(to: folder.appending(path: "dated.cnf"))
    try Data().write(to: folder.appending(path: "index"))
    try openssl(["req", "-new"] + Self.newKey + ["-keyout", "\(name).key", "-out", "\(name).csr", "-subj", subject])
    let digits = end.formatted(.iso8601).filter(\.isNumber)
    try openssl([
      "ca", "-batch", "-notext", "-rand_serial", "-config", "dated.cnf", "-cert", "ca.pem", "-keyfile", "ca.key",
      "-startdate", "20200101000000Z", "-enddate", digits + "Z", "-in", "\(name).csr", "-out", "\(name).pem",
    ])
    try restrict(name)
  }

  func issueExpired(_ name: String) throws { try issue(name, subject: "/CN=old", until: .now - 86_400) }

  /// `<authority>.crl`: the list of an authority with these certificates, good from now for so many seconds.
  func revoke(_ names: [String], by authority: String = "ca", seconds: Int = 86_400) throws {
    let configuration = """
      [ca]
      default_ca = here
      [here]
      database = revoked
      default_md = sha256
      certificate = \(authority).pem
      private_key = \(authority).key
      """
    try Data(configuration.utf8).write(to: folder.appending(path: "revoked.cnf"))
    try Data().write(to: folder.appending(path: "revoked"))
    for name in names { try openssl(["ca", "-config", "revoked.cnf", "-revoke", "\(name).pem"]) }
    try openssl(["ca", "-config", "revoked.cnf", "-gencrl", "-crlsec", "\(seconds)", "-out", "\(authority).crl"])
  }

  /// Replaces a file as a certificate tool does: the new one takes the name of the old.
  func move(_ name: String, over other: String) throws {
    for suffix in ["pem", "key"] {
      try FileManager.default.removeItem(atPath: path("\(other).\(suffix)"))
      try FileManager.default.moveItem(atPath: path("\(name).\(suffix)"), toPath: path("\(other).\(suffix)"))
    }
  }

  private func restrict(_ name: String) throws {
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path("\(name).key"))
  }

  /// Runs `openssl` in the folder.
  /// - Returns: all that it wrote.
  @discardableResult
  func openssl(_ arguments: [String], mustSucceed: Bool = true) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["openssl"] + arguments
    process.currentDirectoryURL = folder
    let output = Pipe()
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 || !mustSucceed else { throw CommandFailed(text: text) }
    return text
  }
}
