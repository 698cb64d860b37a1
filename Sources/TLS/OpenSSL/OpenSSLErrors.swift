// OpenSSL's queue of errors, read here and nowhere else. A fence.
internal import COpenSSL

/// The queue of errors of this thread. It is emptied before each call whose failure is looked at: what an earlier call
/// left would be taken for the reason.
enum OpenSSLErrors {
  static func clear() { ERR_clear_error() }

  /// The first error, which is the cause; the others tell what broke in its course. Empties the queue.
  static func take() -> (library: Int32, reason: Int32, text: String) {
    let code = ERR_get_error()
    ERR_clear_error()
    let text = unsafe ERR_reason_error_string(code).map { unsafe String(cString: $0) }
    return (ERR_GET_LIB(code), ERR_GET_REASON(code), text ?? "no reason given")
  }
}
