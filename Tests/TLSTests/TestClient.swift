// A TLS client over a blocking socket, straight on OpenSSL: it shares no code with what it tests.
import COpenSSL
import Glibc

/// One connection, with its own settings. Blocks its thread; each wait ends after 20 s.
@safe final class TestClient {
  struct Options {
    var versions = TLS1_2_VERSION...TLS1_3_VERSION
    var protocols = ["h2"]
    /// PEM of the authority that the server must come from; nil: any.
    var authority: String?
    /// Certificate and key to show.
    var certificate: (String, String)?
  }

  struct Failed: Error {
    let text: String
  }

  private let context: OpaquePointer
  private let raw: OpaquePointer
  private let socket: Int32

  /// Connects and completes the handshake. TLS 1.3: the server may still refuse our certificate; the next read says so.
  init(_ port: Int, _ options: Options = Options(), resuming session: TestSession? = nil) throws {
    // A server that has closed must not end the test.
    signal(SIGPIPE, SIG_IGN)
    socket = try Self.connect(port)
    guard let context = unsafe SSL_CTX_new(TLS_client_method()), let raw = unsafe Self.make(context, options, session)
    else { throw Failed(text: "out of memory") }
    unsafe self.context = context
    unsafe self.raw = raw
    guard unsafe SSL_set_fd(raw, socket) == 1, unsafe SSL_connect(raw) == 1 else { throw Self.failure() }
  }

  deinit {
    // Otherwise OpenSSL takes the end for a failure and makes the session useless.
    unsafe SSL_set_shutdown(raw, SSL_SENT_SHUTDOWN)
    unsafe SSL_free(raw)
    unsafe SSL_CTX_free(context)
    close(socket)
  }

  private static func make(_ context: OpaquePointer, _ options: Options, _ session: TestSession?) -> OpaquePointer? {
    _ = unsafe COpenSSL_set_version_range(context, options.versions.lowerBound, options.versions.upperBound)
    // Old versions are refused by the server or not at all.
    unsafe SSL_CTX_set_security_level(context, 0)
    if let authority = options.authority {
      _ = unsafe SSL_CTX_load_verify_file(context, authority)
      unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
    }
    if let (certificate, key) = options.certificate {
      _ = unsafe SSL_CTX_use_certificate_chain_file(context, certificate)
      _ = unsafe SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM)
    }
    guard let raw = unsafe SSL_new(context) else { return nil }
    let list = options.protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
    if !list.isEmpty { _ = unsafe SSL_set_alpn_protos(raw, list, UInt32(list.count)) }
    if let session { _ = unsafe SSL_set_session(raw, session.raw) }
    return unsafe raw
  }

  // MARK: Bytes

  func write(_ bytes: [UInt8]) throws {
    guard unsafe SSL_write(raw, bytes, Int32(bytes.count)) == Int32(bytes.count) else { throw Self.failure() }
  }

  /// Exactly `count` bytes.
  func read(_ count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var filled = 0
    while filled < count {
      let code = unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe SSL_read(raw, buffer.baseAddress?.advanced(by: filled), Int32(count - filled))
      }
      guard code > 0 else { throw Self.failure() }
      filled += Int(code)
    }
    return bytes
  }

  /// True when the server says close_notify, and nothing else, next.
  func isClosedByServer() -> Bool {
    var byte: UInt8 = 0
    let code = unsafe SSL_read(raw, &byte, 1)
    return unsafe SSL_get_error(raw, code) == SSL_ERROR_ZERO_RETURN
  }

  /// Says close_notify and waits for the server's.
  func closeBothWays() -> Bool {
    if unsafe SSL_shutdown(raw) == 1 { return true }
    return unsafe SSL_shutdown(raw) == 1
  }

  /// Asks the server for a key update, which it has to answer.
  func requestKeyUpdate() -> Bool {
    unsafe SSL_key_update(raw, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(raw) == 1
  }

  func renegotiate() -> Bool { unsafe SSL_renegotiate(raw) == 1 && SSL_do_handshake(raw) == 1 }

  // MARK: What was agreed

  var version: String { unsafe String(cString: SSL_get_version(raw)) }
  var isResumed: Bool { unsafe SSL_session_reused(raw) == 1 }

  var applicationProtocol: String? {
    var name: UnsafePointer<UInt8>?
    var count: UInt32 = 0
    unsafe SSL_get0_alpn_selected(raw, &name, &count)
    let selected = unsafe UnsafeBufferPointer(start: name, count: Int(count))
    return count == 0 ? nil : unsafe String(decoding: selected, as: UTF8.self)
  }

  /// The common name in the server's certificate.
  var serverName: String {
    var name = [CChar](repeating: 0, count: 256)
    let certificate = unsafe SSL_get0_peer_certificate(raw)
    _ = unsafe X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, &name, 256)
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// To resume later. TLS 1.3: read something first, the tickets come with it.
  func session() throws -> TestSession {
    guard let session = unsafe SSL_get1_session(raw) else { throw Failed(text: "no session") }
    return unsafe TestSession(session)
  }

  // MARK: Sockets

  static func connect(_ port: Int) throws -> Int32 {
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var patience = timeval(tv_sec: 20, tv_usec: 0)
    unsafe setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    unsafe setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
    let code = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard code == 0 else {
      close(socket)
      throw Failed(text: "connect: errno \(errno)")
    }
    return socket
  }

  /// Sends these bytes as they are, then nothing more if `ends`, and reads until the server closes.
  static func exchange(_ port: Int, _ bytes: [UInt8], ends: Bool = false) throws -> [UInt8] {
    let socket = try connect(port)
    defer { close(socket) }
    _ = unsafe send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    if ends { shutdown(socket, Int32(SHUT_WR)) }
    var answer: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = unsafe recv(socket, &buffer, buffer.count, 0)
      if count < 0, errno != ECONNRESET { throw Failed(text: "the server did not close: errno \(errno)") }
      guard count > 0 else { return answer }
      answer += buffer.prefix(count)
    }
  }

  private static func failure() -> Failed {
    let code = ERR_get_error()
    ERR_clear_error()
    return Failed(text: unsafe ERR_reason_error_string(code).map { unsafe String(cString: $0) } ?? "errno \(errno)")
  }
}

/// A session that a client may resume.
@safe final class TestSession {
  let raw: OpaquePointer

  init(_ raw: OpaquePointer) { unsafe self.raw = raw }
  deinit { unsafe SSL_SESSION_free(raw) }
}
