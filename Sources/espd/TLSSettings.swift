// The settings of the TLS listener, which come together or not at all.
import TLS

/// Where TLS is spoken, and with which files.
struct TLSSettings: Sendable {
  /// The most wanted first; a client that names none is known by its first bytes.
  static let protocols = ["h2", "http/1.1"]

  var listen: ListenAddress
  var files: TLSFiles

  /// - Parameter text: gives a setting's value.
  /// - Returns: nil without `tls_listen`.
  /// - Throws: `SettingsError` when one of the settings is missing for the others.
  init?(_ text: (SettingKey) -> String?) throws {
    guard let listen = text(.tlsListen) else {
      for key in [SettingKey.tlsCert, .tlsKey, .tlsClientCA, .tlsClientCRL] where text(key) != nil {
        throw SettingsError("\(key.name) is set and tls_listen is not: say where TLS is to be spoken, for example "
          + "0.0.0.0:8443")
      }
      return nil
    }
    self.listen = try ListenAddress(listen, .tlsListen)
    guard let certificate = text(.tlsCert), let key = text(.tlsKey) else {
      throw SettingsError("tls_listen is \(listen); tls_cert and tls_key are needed with it")
    }
    let (authorities, revocations) = (text(.tlsClientCA), text(.tlsClientCRL))
    if revocations != nil, authorities == nil {
      throw SettingsError("tls_client_crl is set and tls_client_ca is not: without it no client is asked for a "
        + "certificate")
    }
    files = TLSFiles(certificate: certificate, key: key, clientAuthorities: authorities,
                     clientRevocations: revocations)
  }
}
