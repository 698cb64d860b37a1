// What OpenSSL calls back: ALPN, and the keys of session tickets. A fence.
internal import COpenSSL

enum TLSCallbacks {
  /// The context outlives its connections' use of these: each connection holds it.
  static func install(on context: TLSContext, refusesWithoutALPN: Bool) {
    let this = unsafe Unmanaged.passUnretained(context).toOpaque()
    // Index 0 is what OpenSSL reserves for the application.
    _ = unsafe SSL_CTX_set_ex_data(context.raw, 0, this)
    _ = unsafe SSL_CTX_set_tlsext_ticket_key_evp_cb(context.raw, onTicket)
    if context.requiresClientCertificate {
      _ = unsafe SSL_CTX_set_session_ticket_cb(context.raw, nil, onOpenedTicket, nil)
    }
    if !context.protocols.isEmpty { unsafe SSL_CTX_set_alpn_select_cb(context.raw, onProtocols, this) }
    if refusesWithoutALPN { unsafe SSL_CTX_set_client_hello_cb(context.raw, onClientHello, nil) }
  }
}

/// Takes the first of our protocols that the client offers; none: the alert `no_application_protocol` (RFC 7301 3.2).
private func onProtocols(_ ssl: OpaquePointer?, _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
                         _ chosenCount: UnsafeMutablePointer<UInt8>?, _ offered: UnsafePointer<UInt8>?,
                         _ offeredCount: UInt32, _ argument: UnsafeMutableRawPointer?) -> Int32 {
  guard let argument = unsafe argument, let offered = unsafe offered else { return SSL_TLSEXT_ERR_ALERT_FATAL }
  let context = unsafe Unmanaged<TLSContext>.fromOpaque(argument).takeUnretainedValue()
  let list = unsafe UnsafeBufferPointer(start: offered, count: Int(offeredCount))
  for wanted in context.protocols {
    // OpenSSL has checked that the list is well formed: a byte of length, then the name.
    var start = 0
    while start < list.count {
      let end = unsafe start + 1 + Int(list[start])
      guard end <= list.count else { break }
      if unsafe list[(start + 1)..<end].elementsEqual(wanted.utf8) {
        unsafe chosen?.pointee = offered + start + 1
        unsafe chosenCount?.pointee = list[start]
        return SSL_TLSEXT_ERR_OK
      }
      start = end
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL
}

/// A client that does not use ALPN speaks HTTP/1.1, which is not among our protocols: refused as if it had said so.
private func onClientHello(_ ssl: OpaquePointer?, _ alert: UnsafeMutablePointer<Int32>?,
                           _ argument: UnsafeMutableRawPointer?) -> Int32 {
  var bytes: UnsafePointer<UInt8>?
  var count = 0
  let type = UInt32(TLSEXT_TYPE_application_layer_protocol_negotiation)
  if unsafe SSL_client_hello_get0_ext(ssl, type, &bytes, &count) == 1 { return SSL_CLIENT_HELLO_SUCCESS }
  unsafe alert?.pointee = SSL_AD_NO_APPLICATION_PROTOCOL
  return SSL_CLIENT_HELLO_ERROR
}

/// Seals or opens a ticket. 1: done; 2: opened, and a new one is to be sent; 0: not ours, so a full handshake; -1:
/// failure.
private func onTicket(_ ssl: OpaquePointer?, _ name: UnsafeMutablePointer<UInt8>?,
                      _ vector: UnsafeMutablePointer<UInt8>?, _ cipher: OpaquePointer?, _ mac: OpaquePointer?,
                      _ isSealing: Int32) -> Int32 {
  guard let ssl = unsafe ssl, let name = unsafe name, let vector = unsafe vector,
        let this = unsafe SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), 0) else { return -1 }
  let tickets = unsafe Unmanaged<TLSContext>.fromOpaque(this).takeUnretainedValue().tickets
  let nameBytes = unsafe UnsafeMutableBufferPointer(start: name, count: 16)
  if isSealing != 0 {
    var key = tickets.sealing()
    _ = unsafe nameBytes.update(fromContentsOf: key.name)
    let isReady = unsafe RAND_bytes(vector, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1
      && EVP_EncryptInit_ex2(cipher, EVP_aes_256_cbc(), key.cipherKey, vector, nil) == 1
      && COpenSSL_set_ticket_mac(mac, &key.macKey, key.macKey.count) == 1
    return isReady ? 1 : -1
  }
  guard let found = unsafe tickets.opening(nameBytes.span) else { return 0 }
  var key = found.key
  let isReady = unsafe COpenSSL_set_ticket_mac(mac, &key.macKey, key.macKey.count) == 1
    && EVP_DecryptInit_ex2(cipher, EVP_aes_256_cbc(), key.cipherKey, vector, nil) == 1
  return isReady ? (found.isOld ? 2 : 1) : -1
}

/// A ticket does not outlive the client certificate in it: each resumption would otherwise bring a fresh ticket, for
/// ever. Ignored, the client has to show a certificate again.
private func onOpenedTicket(_ ssl: OpaquePointer?, _ session: OpaquePointer?, _ name: UnsafePointer<UInt8>?,
                            _ nameCount: Int, _ status: SSL_TICKET_STATUS,
                            _ argument: UnsafeMutableRawPointer?) -> SSL_TICKET_RETURN {
  guard [SSL_TICKET_SUCCESS, SSL_TICKET_SUCCESS_RENEW].contains(status),
        let certificate = unsafe SSL_SESSION_get0_peer(session),
        unsafe X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0 else { return SSL_TICKET_RETURN_IGNORE_RENEW }
  return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW
}
