// Which files a TLS listener reads.

/// Paths of PEM files.
package struct TLSFiles: Sendable, Equatable {
  /// The server's certificate, then those that lead to an authority its clients know.
  package var certificate: String
  package var key: String
  /// Authorities whose certificates a client must show (mutual TLS); nil: clients are not asked.
  package var clientAuthorities: String?
  /// Lists of what those authorities have revoked; nil: nothing is. With it each of them that issues to clients must
  /// have a list there that is in force: without, its clients are refused.
  package var clientRevocations: String?

  package init(certificate: String, key: String, clientAuthorities: String? = nil, clientRevocations: String? = nil) {
    precondition(clientRevocations == nil || clientAuthorities != nil, "only what is asked for can be revoked")
    self.certificate = certificate
    self.key = key
    self.clientAuthorities = clientAuthorities
    self.clientRevocations = clientRevocations
  }
}
