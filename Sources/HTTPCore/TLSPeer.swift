// What TLS knows of the other side of a connection, as values: for authentication, logs and audit.

/// The outcome of a handshake.
package struct TLSPeer: Sendable, Equatable {
  /// As OpenSSL names it: `TLSv1.2` or `TLSv1.3`.
  package var version: String
  /// As OpenSSL names it, for example `TLS_AES_128_GCM_SHA256`.
  package var cipher: String
  /// Chosen by ALPN; nil when the client did not offer any.
  package var applicationProtocol: String?
  /// The client came back with a session ticket.
  package var isResumed: Bool
  /// The client's certificate; nil when none was asked for. Never one that has not been verified.
  package var certificate: TLSPeerCertificate?

  package init(version: String, cipher: String, applicationProtocol: String? = nil, isResumed: Bool = false,
               certificate: TLSPeerCertificate? = nil) {
    self.version = version
    self.cipher = cipher
    self.applicationProtocol = applicationProtocol
    self.isResumed = isResumed
    self.certificate = certificate
  }
}

/// A verified client certificate: who the client is. Names are those of the subject alternative name (RFC 5280
/// 4.2.1.6), each in the certificate's order.
package struct TLSPeerCertificate: Sendable, Equatable {
  /// RFC 2253 text, for logs only: it is not made to be compared.
  package var subject: String
  /// For example `spiffe://field-7/gateway/12`.
  package var uris: [String]
  package var dnsNames: [String]
  package var emails: [String]

  package init(subject: String, uris: [String] = [], dnsNames: [String] = [], emails: [String] = []) {
    self.subject = subject
    self.uris = uris
    self.dnsNames = dnsNames
    self.emails = emails
  }
}
