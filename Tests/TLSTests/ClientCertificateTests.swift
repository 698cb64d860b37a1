// Mutual TLS: who gets in, and who the server says it is.
import COpenSSL
import Foundation
import HTTPCore
import TLS
import Testing

@Suite("Client certificates") struct ClientCertificateTests {
  private let certificates: TestCertificates
  private let server: TestServer

  init() throws {
    certificates = try TestCertificates()
    server = try TestServer(TLSFiles(certificate: certificates.path("server.pem"), key: certificates.path("server.key"),
                                     clientAuthorities: certificates.path("ca.pem")))
  }

  private func options(_ name: String?, _ version: Int32 = TLS1_3_VERSION) -> TestClient.Options {
    let certificate = name.map { (certificates.path("\($0).pem"), certificates.path("\($0).key")) }
    return TestClient.Options(versions: version...version, certificate: certificate)
  }

  /// The alert with which the server refuses; TLS 1.3 tells it to the first read.
  private func alert(_ name: String?, _ version: Int32) -> String {
    do {
      _ = try TestClient(server.port, options(name, version)).read(1)
      return "none"
    } catch {
      return (error as? TestClient.Failed)?.text ?? "\(error)"
    }
  }

  @Test("names of the certificate are the client's identity", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
  func identity(version: Int32) throws {
    try certificates.issue(
      "gateway", subject: "/O=Field 7/CN=gateway 12",
      names: "URI:spiffe://field-7/gateway/12,DNS:gw12.field,DNS:gw12b.field,email:gw12@field.example,IP:10.0.0.1")
    let client = try TestClient(server.port, options("gateway", version))
    try client.write([1])
    #expect(try client.read(1) == [1])
    #expect(server.observed.value.peers.first?.certificate == TLSPeerCertificate(
      subject: "CN=gateway 12,O=Field 7", uris: ["spiffe://field-7/gateway/12"],
      dnsNames: ["gw12.field", "gw12b.field"], emails: ["gw12@field.example"]))
  }

  @Test("a resumed session has the identity of the first", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
  func resumedIdentity(version: Int32) throws {
    try certificates.issue("gateway", subject: "/CN=gateway", names: "URI:urn:gateway:12")
    let first = try TestClient(server.port, options("gateway", version))
    try first.write([1])
    _ = try first.read(1)
    // Without its certificate: the ticket alone proves who it is.
    let second = try TestClient(server.port, options(nil, version), resuming: try first.session())
    try second.write([1])
    _ = try second.read(1)
    #expect(second.isResumed)
    #expect(server.observed.value.peers.map(\.certificate?.uris) == [["urn:gateway:12"], ["urn:gateway:12"]])
  }

  @Test("a ticket does not outlive the certificate in it", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
  func outlivedTicket(version: Int32) throws {
    try certificates.issue("brief", subject: "/CN=brief", until: .now + 4)
    let first = try TestClient(server.port, options("brief", version))
    try first.write([1])
    _ = try first.read(1)
    var session = try first.session()
    // Each resumption brings a fresh ticket, until the certificate has expired: then there is no way in.
    let refused = #expect(throws: TestClient.Failed.self) {
      while true {
        let client = try TestClient(server.port, options(nil, version), resuming: session)
        try client.write([1])
        _ = try client.read(1)
        session = try client.session()
      }
    }
    #expect(["tlsv13 alert certificate required", "sslv3 alert handshake failure"].contains(refused?.text ?? ""))
    #expect(server.observed.value.peers.count > 1)
  }

  @Test("a certificate without names has an empty identity") func noNames() throws {
    try certificates.issue("plain", subject: "/CN=plain")
    let client = try TestClient(server.port, options("plain"))
    try client.write([1])
    _ = try client.read(1)
    #expect(server.observed.value.peers.first?.certificate == TLSPeerCertificate(subject: "CN=plain"))
  }

  @Test("a name with a NUL in it is no name") func nul() throws {
    let names = ["admin.example\u{0}.evil", "good.example"].map { Array($0.utf8) }
    let list: [UInt8] = names.flatMap { name in [0x82, UInt8(name.count)] + name }
    let extensionValue = ([0x30, UInt8(list.count)] + list).map { String($0, radix: 16) }
    let text = extensionValue.map { $0.count == 1 ? "0" + $0 : $0 }.joined(separator: ":")
    try certificates.issue("trick", subject: "/CN=trick", names: "DER:" + text)
    let client = try TestClient(server.port, options("trick"))
    try client.write([1])
    _ = try client.read(1)
    #expect(server.observed.value.peers.first?.certificate?.dnsNames == ["good.example"])
  }

  @Test("no certificate, one of another authority and an expired one are refused", arguments: [
    TLS1_2_VERSION, TLS1_3_VERSION,
  ])
  func refused(version: Int32) throws {
    try certificates.makeAuthority("stranger")
    try certificates.issue("foreign", subject: "/CN=gateway", by: "stranger")
    try certificates.issueExpired("old")
    #expect(alert(nil, version) == (version == TLS1_3_VERSION
      ? "tlsv13 alert certificate required" : "sslv3 alert handshake failure"))
    #expect(alert("foreign", version) == "tlsv1 alert unknown ca")
    #expect(alert("old", version) == "sslv3 alert certificate expired")
    #expect(server.observed.value.peers.isEmpty)
  }

  /// A server that looks into lists of revoked certificates.
  private func listing(_ lists: String) throws -> TestServer {
    try TestServer(TLSFiles(certificate: certificates.path("server.pem"), key: certificates.path("server.key"),
                            clientAuthorities: certificates.path("ca.pem"),
                            clientRevocations: certificates.path(lists)))
  }

  private func alert(_ name: String, _ version: Int32, at server: TestServer) -> String {
    do {
      let client = try TestClient(server.port, options(name, version))
      try client.write([1])
      _ = try client.read(1)
      return "none"
    } catch {
      return (error as? TestClient.Failed)?.text ?? "\(error)"
    }
  }

  @Test("a revoked certificate is refused, its neighbour is not", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
  func revoked(version: Int32) throws {
    for name in ["stolen", "other"] { try certificates.issue(name, subject: "/CN=\(name)") }
    try certificates.revoke(["stolen"])
    let server = try listing("ca.crl")
    #expect(alert("stolen", version, at: server) == "sslv3 alert certificate revoked")
    #expect(alert("other", version, at: server) == "none")
  }

  @Test("without a list of its authority that is in force a certificate is refused") func noList() throws {
    try certificates.makeAuthority("stranger")
    try certificates.issue("gateway", subject: "/CN=gateway")
    try certificates.revoke([], by: "stranger")
    #expect(alert("gateway", TLS1_3_VERSION, at: try listing("stranger.crl")) == "tlsv1 alert unknown ca")
    try certificates.revoke([], seconds: 1)
    let files = TLSFiles(certificate: certificates.path("server.pem"), key: certificates.path("server.key"),
                         clientAuthorities: certificates.path("ca.pem"),
                         clientRevocations: certificates.path("ca.crl"))
    #expect(try TLSContext(files).warnings == [])
    Thread.sleep(forTimeInterval: 2)
    #expect(try TLSContext(files).warnings.first?.contains("has run out") == true)
    #expect(alert("gateway", TLS1_3_VERSION, at: try listing("ca.crl")) == "sslv3 alert certificate expired")
  }

  @Test("what is not a list is an error that names the file", arguments: [
    "ca.pem", "server.key", "half.crl", "none.crl",
  ])
  func malformedList(name: String) throws {
    try certificates.revoke([])
    let whole = try Data(contentsOf: certificates.folder.appending(path: "ca.crl"))
    try (whole + whole.prefix(whole.count / 2)).write(to: certificates.folder.appending(path: "half.crl"))
    let error = #expect(throws: TLSError.self) {
      try TLSContext(TLSFiles(certificate: certificates.path("server.pem"), key: certificates.path("server.key"),
                              clientAuthorities: certificates.path("ca.pem"),
                              clientRevocations: certificates.path(name)))
    }
    #expect("\(error.map { "\($0)" } ?? "")".contains(name))
  }

  @Test("a certificate that is only for servers is refused") func purpose() throws {
    try certificates.openssl([
      "req", "-x509", "-CA", "ca.pem", "-CAkey", "ca.key", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
      "-nodes", "-days", "2", "-keyout", "web.key", "-out", "web.pem", "-subj", "/CN=web",
      "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth",
    ])
    #expect(alert("web", TLS1_3_VERSION) == "sslv3 alert unsupported certificate")
  }

  @Test("a session of a server that asked nobody opens no door") func sessionOfAnother() throws {
    let files = TLSFiles(certificate: certificates.path("server.pem"), key: certificates.path("server.key"))
    let open = try TestServer(files)
    let client = try TestClient(open.port, options(nil))
    try client.write([1])
    _ = try client.read(1)
    let other = try TestClient(server.port, options(nil), resuming: try client.session())
    #expect(throws: TestClient.Failed.self) { try other.read(1) }
    #expect(server.observed.value.peers.isEmpty)
  }
}
