// Files of certificates and keys: what is refused, in which words, and what is only warned of.
import Foundation
import Logging
import TLS
import Testing

@Suite("TLS context") struct TLSContextTests {
  private let certificates: TestCertificates
  private let files: TLSFiles

  init() throws {
    certificates = try TestCertificates()
    files = TLSFiles(certificate: certificates.path("server.pem"), key: certificates.path("server.key"))
  }

  private func refusal(_ change: (inout TLSFiles) -> Void) -> String {
    var files = files
    change(&files)
    do throws(TLSError) {
      _ = try TLSContext(files)
      return "nothing"
    } catch {
      return error.description
    }
  }

  @Test("good files give a context without warnings") func good() throws {
    let context = try TLSContext(files)
    #expect(context.warnings == [])
    #expect(context.protocols == ["h2", "http/1.1"])
    #expect(!context.requiresClientCertificate)
  }

  @Test("a file that is not there is named, with the reason") func missing() {
    let path = certificates.path("no.pem")
    #expect(refusal { $0.certificate = path } == "\(path) can't be read: No such file or directory")
    #expect(refusal { $0.key = path } == "\(path) can't be read: No such file or directory")
    #expect(refusal { $0.clientAuthorities = path } == "\(path) can't be read: No such file or directory")
  }

  @Test("a file of something else is named") func garbage() throws {
    let path = certificates.path("garbage")
    try Data("not a certificate".utf8).write(to: URL(fileURLWithPath: path))
    #expect(refusal { $0.certificate = path } == "\(path) is no certificate chain in PEM form: no start line")
    #expect(refusal { $0.key = path }.hasPrefix("\(path) holds no private key in PEM form, without a password: "))
    #expect(refusal { $0.clientAuthorities = path }.hasPrefix("\(path) holds no certificates in PEM form: "))
  }

  @Test("a key of another certificate is refused") func mismatch() throws {
    try certificates.issue("other", subject: "/CN=other")
    let path = certificates.path("other.key")
    #expect(refusal { $0.key = path }
      == "the key in \(path) does not belong to the certificate in \(files.certificate)")
  }

  @Test("a key of another kind is refused") func kindMismatch() throws {
    try certificates.openssl(["genrsa", "-out", "rsa.key", "2048"])
    let path = certificates.path("rsa.key")
    #expect(refusal { $0.key = path }
      == "the key in \(path) does not belong to the certificate in \(files.certificate)")
  }

  @Test("a key with a password is refused and nobody is asked for it") func password() throws {
    try certificates.openssl(["ec", "-in", "server.key", "-aes128", "-passout", "pass:secret", "-out", "locked.key"])
    let path = certificates.path("locked.key")
    #expect(refusal { $0.key = path }.hasPrefix("\(path) holds no private key in PEM form, without a password: "))
  }

  @Test("a certificate with a weak key is refused") func weak() throws {
    try certificates.openssl([
      "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "2", "-keyout", "weak.key", "-out", "weak.pem", "-subj",
      "/CN=weak",
    ])
    let path = certificates.path("weak.pem")
    #expect(refusal { $0.certificate = path } == "\(path) is no certificate chain in PEM form: ee key too small")
  }

  @Test("an expired certificate is a warning") func expired() throws {
    try certificates.issueExpired("old")
    let context = try TLSContext(TLSFiles(certificate: certificates.path("old.pem"), key: certificates.path("old.key")))
    #expect(context.warnings == [
      "the certificate in \(certificates.path("old.pem")) has expired: clients will refuse it"
    ])
  }

  @Test("a key file that others can read is a warning", arguments: [0o600, 0o640, 0o644, 0o660])
  func keyMode(mode: Int) throws {
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: files.key)
    let warnings = try TLSContext(files).warnings
    let text = "the key file \(files.key) has mode 0\(String(mode, radix: 8)): 0640 is the widest that is safe"
    #expect(warnings == (mode == 0o600 || mode == 0o640 ? [] : [text]))
  }

  @Test("a reload with a bad file keeps the old context") func reload() throws {
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let credentials = try TLSCredentials(files, protocols: ["h2"], logger: logger)
    let first = credentials.current
    try Data("half a file".utf8).write(to: URL(fileURLWithPath: files.certificate))
    #expect(!credentials.reload())
    #expect(credentials.current === first)
    try certificates.issue("server", subject: "/CN=new")
    #expect(credentials.reload())
    #expect(credentials.current !== first)
  }
}
