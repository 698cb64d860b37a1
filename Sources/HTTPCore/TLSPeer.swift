// What TLS knows of the other side of a connection, as values: for authentication, logs and audit.

/// The outcome of a handshake.
public struct TLSPeer: Sendable, Equatable {
  /// As OpenSSL names it: `TLSv1.2` or `TLSv1.3`.
  public var version: String
  /// As OpenSSL names it, for example `TLS_AES_128_GCM_SHA256`.
  public var cipher: String
  /// Chosen by ALPN; nil when the client did not offer any.
  public var applicationProtocol: String?
  /// The client came back with a session ticket.
  public var isResumed: Bool
  /// The client's certificate; nil when none was asked for. Never one that has not been verified.
  public var certificate: TLSPeerCertificate?

  public init(version: String, cipher: String, applicationProtocol: String? = nil, isResumed: Bool = false,
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
public struct TLSPeerCertificate: Sendable, Equatable {
  /// RFC 2253 text, for logs only: it is not made to be compared.
  public var subject: String
  /// For example `spiffe://field-7/gateway/12`.
  public var uris: [String]
  public var dnsNames: [String]
  public var emails: [String]

  public init(subject: String, uris: [String] = [], dnsNames: [String] = [], emails: [String] = []) {
    self.subject = subject
    self.uris = uris
    self.dnsNames = dnsNames
    self.emails = emails
  }
}
