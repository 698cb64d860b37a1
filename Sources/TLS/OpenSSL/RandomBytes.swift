// Random bytes that are good for keys. A fence.
internal import COpenSSL

extension [UInt8] {
  /// `count` bytes from OpenSSL's generator.
  static func random(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    // Fails only when the system has no entropy: keys can't be made then.
    let code = unsafe RAND_bytes(&bytes, Int32(count))
    precondition(code == 1, "OpenSSL has no random bytes to give")
    return bytes
  }
}
