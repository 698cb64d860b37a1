// THE FENCE of OpenSSL, one connection: sealed bytes in and out by memory BIOs, plain bytes on the other side. No I/O.
internal import COpenSSL
internal import HTTPCore
internal import NIOCore

/// The server's side of one connection, used on its event loop only. After a throw only `takeSealed` is of use: it
/// gives the alert for the peer.
@safe struct TLSConnection: ~Copyable {
  /// The most of plain bytes that one record can hold (RFC 8446 5.1). Also what OpenSSL's buffers are fed at a time, so
  /// that they stay small however much comes in one read.
  static let recordBytes = 16 << 10
  /// What a record adds at most: its head, and the tag or (TLS 1.2) nonce and tag.
  static let recordOverheadBytes = 64

  private let context: TLSContext
  private let raw: OpaquePointer
  // Owned by `raw`.
  private let incoming: OpaquePointer
  private let outgoing: OpaquePointer

  init(_ context: TLSContext) {
    // Each fails only when out of memory.
    guard let raw = unsafe SSL_new(context.raw), let incoming = unsafe BIO_new(BIO_s_mem()),
          let outgoing = unsafe BIO_new(BIO_s_mem()) else { preconditionFailure("OpenSSL: out of memory") }
    unsafe SSL_set_bio(raw, incoming, outgoing)
    unsafe SSL_set_accept_state(raw)
    self.context = context
    unsafe self.raw = raw
    unsafe self.incoming = incoming
    unsafe self.outgoing = outgoing
  }

  deinit { unsafe SSL_free(raw) }

  /// Takes at most a record's worth of what the peer sent; then call `handshake` or `read`.
  mutating func receive(_ sealed: inout ByteBuffer) {
    let count = min(sealed.readableBytes, Self.recordBytes)
    let taken = unsafe sealed.withUnsafeReadableBytes { unsafe BIO_write(incoming, $0.baseAddress, Int32(count)) }
    precondition(Int(taken) == count, "a memory BIO takes all it is given")
    sealed.moveReaderIndex(forwardBy: count)
  }

  /// Goes on with the handshake; true when it is complete.
  mutating func handshake() throws(TLSError) -> Bool {
    OpenSSLErrors.clear()
    let code = unsafe SSL_do_handshake(raw)
    if code == 1 { return true }
    if unsafe SSL_get_error(raw, code) == SSL_ERROR_WANT_READ { return false }
    throw failure()
  }

  /// Appends all plain bytes that there are; true when the peer has said that no more will come.
  mutating func read(into plain: inout ByteBuffer) throws(TLSError) -> Bool {
    while true {
      OpenSSLErrors.clear()
      var code: Int32 = 0
      unsafe plain.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.recordBytes) { target in
        code = unsafe SSL_read(raw, target.baseAddress, Int32(clamping: target.count))
        return max(0, Int(code))
      }
      guard code <= 0 else { continue }
      switch unsafe SSL_get_error(raw, code) {
      case SSL_ERROR_WANT_READ: return false
      case SSL_ERROR_ZERO_RETURN: return true
      default: throw failure()
      }
    }
  }

  /// Seals all of `plain` in full records, the last one as long as it is, and appends them to `sealed`.
  mutating func write(_ plain: inout ByteBuffer, into sealed: inout ByteBuffer) throws(TLSError) {
    while plain.readableBytes > 0 {
      let count = min(plain.readableBytes, Self.recordBytes)
      OpenSSLErrors.clear()
      let code = unsafe plain.withUnsafeReadableBytes { unsafe SSL_write(raw, $0.baseAddress, Int32(count)) }
      // All or nothing: partial writes are off, and the outgoing BIO takes everything.
      guard code == Int32(count) else { throw failure() }
      plain.moveReaderIndex(forwardBy: count)
      takeSealed(into: &sealed)
    }
  }

  /// Appends what is to be sent to the peer.
  mutating func takeSealed(into sealed: inout ByteBuffer) {
    let count = unsafe BIO_ctrl_pending(outgoing)
    guard count > 0 else { return }
    unsafe sealed.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
      Int(unsafe BIO_read(outgoing, target.baseAddress, Int32(count)))
    }
  }

  /// Says that we send no more: close_notify is in what `takeSealed` gives next.
  mutating func shutdown() {
    OpenSSLErrors.clear()
    // 0: the peer has not said the same yet, and we do not wait for it; -1: it has gone already.
    _ = unsafe SSL_shutdown(raw)
    OpenSSLErrors.clear()
  }

  /// Who the peer is; after the handshake.
  func peer() -> TLSPeer {
    var name: UnsafePointer<UInt8>?
    var count: UInt32 = 0
    unsafe SSL_get0_alpn_selected(raw, &name, &count)
    let selected = unsafe UnsafeBufferPointer(start: name, count: Int(count))
    let cipher = unsafe SSL_CIPHER_get_name(SSL_get_current_cipher(raw))
    return TLSPeer(version: unsafe String(cString: SSL_get_version(raw)),
                   cipher: unsafe cipher.map { unsafe String(cString: $0) } ?? "",
                   applicationProtocol: count == 0 ? nil : unsafe String(decoding: selected, as: UTF8.self),
                   isResumed: unsafe SSL_session_reused(raw) == 1,
                   certificate: peerCertificate())
  }

  private func peerCertificate() -> TLSPeerCertificate? {
    // Without a verification that succeeded there is no identity, whatever was sent.
    guard context.requiresClientCertificate, unsafe SSL_get_verify_result(raw) == Int(X509_V_OK),
          let certificate = unsafe SSL_get0_peer_certificate(raw) else { return nil }
    return unsafe TLSPeerCertificate(reading: certificate)
  }

  /// Why a call failed; with what a certificate lacks, if that was it.
  private func failure() -> TLSError {
    let reason = OpenSSLErrors.take().text
    let result = unsafe SSL_get_verify_result(raw)
    guard result != Int(X509_V_OK) else { return TLSError(reason) }
    return TLSError("\(reason): \(unsafe String(cString: X509_verify_cert_error_string(result)))")
  }
}
