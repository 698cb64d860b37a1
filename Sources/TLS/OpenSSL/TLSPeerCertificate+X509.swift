// Reads the names in a client's certificate. A fence.
internal import COpenSSL
internal import HTTPCore

extension TLSPeerCertificate {
  init(reading certificate: OpaquePointer) {
    self.init(subject: unsafe Self.subject(of: certificate))
    guard let extensionValue = unsafe X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) else { return }
    let names = OpaquePointer(extensionValue)
    defer { unsafe GENERAL_NAMES_free(names) }
    for index in 0..<(unsafe COpenSSL_name_count(names)) {
      var kind: Int32 = 0
      let value = unsafe GENERAL_NAME_get0_value(COpenSSL_name(names, index), &kind)
      guard [GEN_URI, GEN_DNS, GEN_EMAIL].contains(kind), let text = unsafe Self.text(value) else { continue }
      switch kind {
      case GEN_URI: uris.append(text)
      case GEN_DNS: dnsNames.append(text)
      default: emails.append(text)
      }
    }
  }

  /// A name as text; nil when it is not printable ASCII, as these names have to be: a NUL in the middle is an old trick
  /// to look like somebody else.
  private static func text(_ value: UnsafeMutableRawPointer?) -> String? {
    guard let value = unsafe value else { return nil }
    let string = unsafe value.assumingMemoryBound(to: ASN1_STRING.self)
    let bytes = unsafe UnsafeBufferPointer(start: ASN1_STRING_get0_data(string), count: Int(ASN1_STRING_length(string)))
    guard !bytes.isEmpty, unsafe bytes.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
    return unsafe String(decoding: bytes, as: UTF8.self)
  }

  private static func subject(of certificate: OpaquePointer) -> String {
    guard let output = unsafe BIO_new(BIO_s_mem()) else { preconditionFailure("OpenSSL: out of memory") }
    defer { unsafe BIO_free(output) }
    _ = unsafe X509_NAME_print_ex(output, X509_get_subject_name(certificate), 0, COpenSSL_name_flags())
    var bytes = [UInt8](repeating: 0, count: unsafe BIO_ctrl_pending(output))
    let count = unsafe BIO_read(output, &bytes, Int32(bytes.count))
    return String(decoding: bytes.prefix(max(0, Int(count))), as: UTF8.self)
  }
}
