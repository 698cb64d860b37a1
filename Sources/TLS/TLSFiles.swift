// Which files a TLS listener reads.

/// Paths of PEM files.
package struct TLSFiles: Sendable, Equatable {
  /// The server's certificate, then those that lead to an authority its clients know.
  package var certificate: String
  package var key: String
  /// Authorities whose certificates a client must show (mutual TLS); nil: clients are not asked.
  package var clientAuthorities: String?

  package init(certificate: String, key: String, clientAuthorities: String? = nil) {
    self.certificate = certificate
    self.key = key
    self.clientAuthorities = clientAuthorities
  }
}
