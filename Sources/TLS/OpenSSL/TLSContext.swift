// THE FENCE of OpenSSL, its context: certificate, key and the rules that all connections of a listener share.
internal import COpenSSL
internal import Glibc

/// TLS 1.2 and 1.3 for a server, made from files and never changed; a reload makes another (`TLSCredentials`).
@safe package final class TLSContext: @unchecked Sendable {
  // @unchecked because the SSL_CTX is written in `init` only; OpenSSL counts its references atomically.

  /// What `protocols` calls HTTP/1.1; also what a client means that does not use ALPN at all.
  private static let http1 = "http/1.1"
  /// Forward secret and authenticated only. AES-128 first: a third less work than AES-256, and nobody breaks either.
  private static let ciphers12 = "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20"
  private static let ciphers13 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
  private static let groups = "X25519:P-256:P-384"
  /// Bits of a key file that let others than its owner and its group in, or its group write.
  private static let looseModeBits: mode_t = 0o137

  /// Names for ALPN, the most wanted first. Empty: ALPN is not used.
  package let protocols: [String]
  /// What an operator should know and what does not hinder the server, one sentence each.
  package let warnings: [String]
  /// Clients must show a certificate.
  package let requiresClientCertificate: Bool

  let raw: OpaquePointer
  let tickets = TLSTicketKeys()

  /// Reads the files.
  /// - Throws: `TLSError` that names the file and what is wrong with it.
  package init(_ files: TLSFiles, protocols: [String] = ["h2", http1]) throws(TLSError) {
    // Fails only when out of memory.
    guard let raw = unsafe SSL_CTX_new(TLS_server_method()) else { preconditionFailure("OpenSSL: out of memory") }
    unsafe self.raw = raw
    self.protocols = protocols
    requiresClientCertificate = files.clientAuthorities != nil
    // Keys under 112 bits of strength are refused: ours when they are loaded, and the clients'.
    unsafe SSL_CTX_set_security_level(raw, 2)
    let outdated: [String]
    do throws(TLSError) {
      try unsafe Self.load(files, into: raw)
      outdated = try files.clientRevocations.map { path throws(TLSError) in
        try unsafe Self.loadRevocations(path, into: raw)
      } ?? []
    } catch {
      // Complete, so that `deinit` runs.
      warnings = []
      throw error
    }
    warnings = unsafe Self.warnings(files, raw) + outdated
    setRules()
    TLSCallbacks.install(on: self, refusesWithoutALPN: !protocols.isEmpty && !protocols.contains(Self.http1))
  }

  deinit { unsafe SSL_CTX_free(raw) }

  /// From now on new tickets have a new key; those of the key before last are void.
  package func rotateTicketKeys() { tickets.rotate() }

  // MARK: Files

  private static func load(_ files: TLSFiles, into raw: OpaquePointer) throws(TLSError) {
    for path in [files.certificate, files.key] + [files.clientAuthorities, files.clientRevocations].compactMap(\.self) {
      guard unsafe access(path, R_OK) == 0 else {
        throw TLSError("\(path) can't be read: \(unsafe String(cString: strerror(errno)))")
      }
    }
    // A key with a password would otherwise ask for it on the terminal.
    unsafe SSL_CTX_set_default_passwd_cb(raw) { _, _, _, _ in -1 }
    OpenSSLErrors.clear()
    guard unsafe SSL_CTX_use_certificate_chain_file(raw, files.certificate) == 1 else {
      throw TLSError("\(files.certificate) is no certificate chain in PEM form: \(OpenSSLErrors.take().text)")
    }
    try unsafe loadKey(files, into: raw)
    guard let authorities = files.clientAuthorities else { return }
    OpenSSLErrors.clear()
    guard unsafe SSL_CTX_load_verify_file(raw, authorities) == 1,
          let names = unsafe SSL_load_client_CA_file(authorities) else {
      throw TLSError("\(authorities) holds no certificates in PEM form: \(OpenSSLErrors.take().text)")
    }
    // Sent to clients, so that they know which of their certificates to show; the context takes the list.
    unsafe SSL_CTX_set_client_CA_list(raw, names)
    unsafe SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
  }

  /// Clients are looked up in these lists. Those of tickets are not, but a ticket does not outlive its context.
  /// - Returns: warnings.
  private static func loadRevocations(_ path: String, into raw: OpaquePointer) throws(TLSError) -> [String] {
    OpenSSLErrors.clear()
    guard let file = unsafe BIO_new_file(path, "r") else {
      throw TLSError("\(path) can't be read: \(OpenSSLErrors.take().text)")
    }
    defer { unsafe BIO_free(file) }
    // A context has a store from the beginning.
    guard let store = unsafe SSL_CTX_get_cert_store(raw) else { preconditionFailure("OpenSSL: no store") }
    var count = 0
    var warnings: [String] = []
    while let list = unsafe PEM_read_bio_X509_CRL(file, nil, nil, nil) {
      defer { unsafe X509_CRL_free(list) }
      count += 1
      // Fails only when out of memory: of a list that is there already it says nothing.
      let isAdded = unsafe X509_STORE_add_crl(store, list) == 1
      precondition(isAdded, "OpenSSL: out of memory")
      if let end = unsafe X509_CRL_get0_nextUpdate(list), unsafe X509_cmp_current_time(end) < 0 {
        warnings.append("a list in \(path) has run out: the clients of its authority are refused without a new one")
      }
    }
    // So the end of the file looks; anything else is a list that is none.
    let error = OpenSSLErrors.take()
    guard count > 0, error.library == ERR_LIB_PEM, error.reason == PEM_R_NO_START_LINE else {
      throw TLSError("\(path) does not hold certificate revocation lists in PEM form and nothing else: \(error.text)")
    }
    _ = unsafe X509_STORE_set_flags(store, UInt(X509_V_FLAG_CRL_CHECK))
    return warnings
  }

  private static func loadKey(_ files: TLSFiles, into raw: OpaquePointer) throws(TLSError) {
    guard unsafe SSL_CTX_use_PrivateKey_file(raw, files.key, SSL_FILETYPE_PEM) == 1,
          unsafe SSL_CTX_check_private_key(raw) == 1 else {
      let error = OpenSSLErrors.take()
      // Another kind of key (RSA for EC) is found to have no certificate.
      let isOther = error.library == ERR_LIB_X509
        ? [X509_R_KEY_VALUES_MISMATCH, X509_R_KEY_TYPE_MISMATCH].contains(error.reason)
        : error.library == ERR_LIB_SSL && error.reason == SSL_R_NO_CERTIFICATE_ASSIGNED
      if isOther {
        throw TLSError("the key in \(files.key) does not belong to the certificate in \(files.certificate)")
      }
      throw TLSError("\(files.key) holds no private key in PEM form, without a password: \(error.text)")
    }
  }

  private static func warnings(_ files: TLSFiles, _ raw: OpaquePointer) -> [String] {
    var warnings: [String] = []
    var status = stat()
    if unsafe stat(files.key, &status) == 0, status.st_mode & looseModeBits != 0 {
      let mode = String(status.st_mode & 0o777, radix: 8)
      warnings.append("the key file \(files.key) has mode 0\(mode): 0640 is the widest that is safe")
    }
    guard let certificate = unsafe COpenSSL_own_certificate(raw) else {
      preconditionFailure("a context whose certificate was loaded has one")
    }
    let notBefore = unsafe X509_get0_notBefore(certificate), notAfter = unsafe X509_get0_notAfter(certificate)
    if unsafe X509_cmp_current_time(notAfter) < 0 {
      warnings.append("the certificate in \(files.certificate) has expired: clients will refuse it")
    }
    if unsafe X509_cmp_current_time(notBefore) > 0 {
      warnings.append("the certificate in \(files.certificate) is not valid yet: clients will refuse it")
    }
    return warnings
  }

  // MARK: Rules

  private func setRules() {
    // Each fails only for a name that OpenSSL does not know, or when out of memory.
    let isSet = unsafe COpenSSL_set_version_range(raw, TLS1_2_VERSION, TLS1_3_VERSION) == 1
      && SSL_CTX_set_cipher_list(raw, Self.ciphers12) == 1 && SSL_CTX_set_ciphersuites(raw, Self.ciphers13) == 1
      && COpenSSL_set_groups(raw, Self.groups) == 1
      // A session that was made with verification is resumed only where it was made.
      && SSL_CTX_set_session_id_context(raw, "espd", 4) == 1
    precondition(isSet, "OpenSSL refuses our rules: \(OpenSSLErrors.take().text)")
    unsafe COpenSSL_set_options(raw)
    unsafe COpenSSL_set_modes(raw)
    unsafe COpenSSL_disable_session_cache(raw)
    // A ticket lives one period of its key: an hour.
    _ = unsafe SSL_CTX_set_timeout(raw, Int(TLSTicketKeys.period.components.seconds))
  }
}
