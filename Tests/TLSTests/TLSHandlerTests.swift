// TLS as a client meets it: handshakes, protocols, bytes both ways, sessions, ends.
import COpenSSL
import Foundation
import HTTPCore
import Logging
import NIOCore
import TLS
import Testing

@Suite("TLS connections") struct TLSHandlerTests {
  private let certificates: TestCertificates
  private let files: TLSFiles

  init() throws {
    certificates = try TestCertificates()
    files = TLSFiles(certificate: certificates.path("server.pem"), key: certificates.path("server.key"))
  }

  private func check(_ client: TestClient, _ bytes: [UInt8] = [1, 2, 3]) throws {
    try client.write(bytes)
    #expect(try client.read(bytes.count) == bytes)
  }

  // MARK: Handshakes

  @Test("1.2 and 1.3 are spoken", arguments: [(TLS1_2_VERSION, "TLSv1.2"), (TLS1_3_VERSION, "TLSv1.3")])
  func versions(version: Int32, name: String) throws {
    let server = try TestServer(files)
    let options = TestClient.Options(versions: version...version, authority: certificates.path("ca.pem"))
    let client = try TestClient(server.port, options)
    #expect(client.version == name)
    #expect(client.serverName == "localhost")
    try check(client)
    let peer = try #require(server.observed.value.peers.first)
    #expect(peer.version == name)
    #expect(peer.cipher.contains("AES_128_GCM") || peer.cipher.contains("AES128-GCM"))
    #expect(!peer.isResumed)
    #expect(peer.certificate == nil)
  }

  @Test("1.1 is refused by an alert") func oldVersion() throws {
    let server = try TestServer(files)
    let refused = #expect(throws: TestClient.Failed.self) {
      try TestClient(server.port, TestClient.Options(versions: TLS1_1_VERSION...TLS1_1_VERSION))
    }
    #expect(refused?.text == "tlsv1 alert protocol version")
    #expect(server.observed.value.peers.isEmpty)
  }

  @Test("the first of our protocols that the client offers is taken") func protocols() throws {
    let server = try TestServer(files, protocols: ["h2", "http/1.1"])
    for (offered, taken) in [(["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), (["x", "h2"], "h2")] {
      let client = try TestClient(server.port, TestClient.Options(protocols: offered))
      #expect(client.applicationProtocol == taken)
    }
    #expect(try TestClient(server.port, TestClient.Options(protocols: [])).applicationProtocol == nil)
  }

  @Test("a client without one of our protocols is refused by an alert",
        arguments: [["http/1.1"], ["h", "h22"], [], [String(repeating: "x", count: 255)]])
  func noProtocol(offered: [String]) throws {
    let server = try TestServer(files, protocols: ["h2"])
    for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
      let refused = #expect(throws: TestClient.Failed.self) {
        try TestClient(server.port, TestClient.Options(versions: version...version, protocols: offered))
      }
      #expect(refused?.text == "tlsv1 alert no application protocol")
    }
    #expect(server.observed.value.peers.isEmpty)
  }

  @Test("openssl s_client agrees", arguments: ["-tls1_2", "-tls1_3"]) func judge(version: String) throws {
    let server = try TestServer(files)
    let text = try certificates.openssl([
      "s_client", "-connect", "127.0.0.1:\(server.port)", version, "-alpn", "h2", "-CAfile", "ca.pem",
      "-verify_return_error", "-verify_hostname", "localhost",
    ])
    #expect(text.contains("ALPN protocol: h2"))
    #expect(text.contains("Verify return code: 0 (ok)"))
    #expect(text.contains("Compression: NONE"))
    #expect(text.contains("Server Temp Key: X25519, 253 bits"))
    #expect(text.contains("Secure Renegotiation IS supported") == (version == "-tls1_2"))
  }

  @Test("a client that only has weak ciphers is refused") func weakCiphers() throws {
    let server = try TestServer(files)
    for cipher in ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384"] {
      let text = try certificates.openssl(
        ["s_client", "-connect", "127.0.0.1:\(server.port)", "-tls1_2", "-cipher", "\(cipher):@SECLEVEL=0"],
        mustSucceed: false)
      #expect(text.contains("alert handshake failure"))
    }
  }

  @Test("renegotiation is refused, a key update is answered") func renegotiation() throws {
    let server = try TestServer(files)
    let old = try TestClient(server.port, TestClient.Options(versions: TLS1_2_VERSION...TLS1_2_VERSION))
    try check(old)
    #expect(!old.renegotiate())
    let new = try TestClient(server.port)
    for _ in 0..<3 {
      #expect(new.requestKeyUpdate())
      try check(new)
    }
  }

  // MARK: Bytes

  @Test("large transfers both ways in odd pieces arrive as they are",
        arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
  func oddPieces(version: Int32) throws {
    let server = try TestServer(files)
    let client = try TestClient(server.port, TestClient.Options(versions: version...version))
    var start = 0
    for count in [1, 2, 3, 16_383, 16_384, 16_385, 31, 65_535, 262_144, 262_145, 1_000_003, 7] {
      try check(client, pattern(start..<start + count))
      start += count
    }
    #expect(server.observed.value.readBytes == start)
  }

  @Test("what a client does not read is not made") func backPressure() async throws {
    let byteCount = 48 << 20
    let server = try TestServer(files, sends: byteCount)
    let client = try TestClient(server.port)
    try client.write([0])
    try await stalled(server)
    #expect(server.observed.value.sentBytes < byteCount / 2)
    var start = 0
    while start < byteCount {
      let count = min(byteCount - start, 1 + start % 99_991)
      try #require(try client.read(count) == pattern(start..<start + count))
      start += count
    }
  }

  @Test("many connections at once each get their own bytes") func manyConnections() throws {
    let server = try TestServer(files)
    let clients = try (0..<100).map { _ in try TestClient(server.port) }
    for round in 0..<3 {
      for (index, client) in clients.enumerated() { try client.write(pattern(index + round..<index + round + 5000)) }
      for (index, client) in clients.enumerated() {
        #expect(try client.read(5000) == pattern(index + round..<index + round + 5000))
      }
    }
    #expect(server.observed.value.peers.count == 100)
  }

  // MARK: Sessions

  @Test("a session is resumed, and after two changes of the ticket key no more",
        arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
  func resumption(version: Int32) throws {
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let credentials = try TLSCredentials(files, protocols: ["h2"], logger: logger)
    let server = try TestServer(credentials)
    let options = TestClient.Options(versions: version...version)
    let first = try TestClient(server.port, options)
    try check(first)
    let session = try first.session()
    for (isRotated, isResumed) in [(false, true), (true, true), (true, false)] {
      if isRotated { credentials.current.rotateTicketKeys() }
      let client = try TestClient(server.port, options, resuming: session)
      #expect(client.isResumed == isResumed)
      try check(client)
      #expect(server.observed.value.peers.last?.isResumed == isResumed)
    }
  }

  @Test("a reload changes what new connections get, and breaks none") func reload() throws {
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let credentials = try TLSCredentials(files, protocols: ["h2"], logger: logger)
    let server = try TestServer(credentials)
    let old = try TestClient(server.port)
    try check(old)
    let session = try old.session()
    try certificates.issue("next", subject: "/CN=renewed", names: "DNS:localhost")
    try certificates.move("next", over: "server")
    #expect(credentials.reload())
    try check(old)
    let new = try TestClient(server.port, TestClient.Options(), resuming: session)
    #expect(new.serverName == "renewed")
    #expect(!new.isResumed)
    try check(new)
    try check(old)
  }

  // MARK: Ends

  @Test("close_notify is answered") func closeNotify() throws {
    let server = try TestServer(files)
    let client = try TestClient(server.port)
    try check(client)
    #expect(client.closeBothWays())
  }

  @Test("garbage gets an alert at most and harms nobody else", arguments: [
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", String(repeating: "\u{0}", count: 5000),
    "\u{16}\u{3}\u{1}\u{7F}\u{7F}" + String(repeating: "x", count: 40_000),
  ])
  func garbage(text: String) throws {
    let server = try TestServer(files)
    let bystander = try TestClient(server.port)
    let answer = try TestClient.exchange(server.port, Array(text.utf8))
    // A fatal alert and nothing else; OpenSSL has none for plain HTTP.
    #expect(answer.isEmpty || (answer.count == 7 && answer[0] == 21 && answer[5] == 2))
    try check(bystander)
    #expect(server.observed.value.peers.count == 1)
  }

  @Test("a handshake that is cut short ends quietly") func truncated() throws {
    let server = try TestServer(files)
    let hello = try #require(Data(base64Encoded: Self.clientHello))
    for count in [0, 1, 5, 6, 43, hello.count - 1] {
      _ = try TestClient.exchange(server.port, Array(hello.prefix(count)), ends: true)
    }
    #expect(server.observed.value.peers.isEmpty)
    try check(try TestClient(server.port))
  }

  @Test("a handshake that takes too long is cut; one that was complete in time is not") func slow() throws {
    var limits = TLSLimits()
    limits.handshakeTimeout = .milliseconds(500)
    let server = try TestServer(files, limits: limits)
    let bystander = try TestClient(server.port)
    let hello = try #require(Data(base64Encoded: Self.clientHello))
    // Both block until the server closes.
    #expect(try TestClient.exchange(server.port, []) == [])
    #expect(try TestClient.exchange(server.port, Array(hello.prefix(100))) == [])
    try check(bystander)
  }

  @Test("a client that asks for key updates and reads none of the answers is cut") func keyUpdates() async throws {
    let server = try TestServer(files, sends: 48 << 20)
    let client = try TestClient(server.port)
    try client.write([0])
    try await stalled(server)
    var count = 0
    while client.requestKeyUpdate() {
      count += 1
      try #require(count < 1_000_000)
    }
    #expect(count > 100)
  }

  /// When the sockets are full the server stops: what it made no longer grows.
  private func stalled(_ server: TestServer) async throws {
    var last = -1
    while server.observed.value.sentBytes != last || last == 0 {
      last = server.observed.value.sentBytes
      try await Task.sleep(for: .milliseconds(200))
    }
  }

  @Test("a handshake has ten seconds") func limit() { #expect(TLSLimits().handshakeTimeout == .seconds(10)) }

  /// A ClientHello of OpenSSL 3 that offers both versions and `h2`, as it was sent; base64.
  private static let clientHello = """
    FgMBAgABAAH8AwMONvvjk/TvdDpJJHeqfqA6TFrnMnYrgW6MPhDyJm37cCAh3N5Lr+CLEm8e42pBcynRKCdA3vNqG9PI/y5q7ewa\
    VgAkEwITAxMBwCzAMMArwC/MqcyowCTAKMAjwCcAnwCeAGsAZwD/AQABjwAAAA4ADAAACWxvY2FsaG9zdAALAAQDAAECAAoAFgAU\
    AB0AFwAeABkAGAEAAQEBAgEDAQQAIwAAABAABQADAmgyABYAAAAXAAAADQAqACgEAwUDBgMIBwgICAkICggLCAQIBQgGBAEFAQYB\
    AwMDAQMCBAIFAgYCACsABQQDBAMDAC0AAgEBADMAJgAkAB0AIB3vgjG207A0K1cWBMJi/aVPyRYWhsl10h/XAdu6Guc2ABUA2wAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==
    """
}
