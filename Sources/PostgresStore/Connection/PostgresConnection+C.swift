// Fence file: what libpq needs in C's own forms: arrays of strings, arrays of values, the notice callback.
internal import CLibpq
import Logging

/// Receives the server's notices and warnings for the log.
final class NoticeSink: Sendable {
  let logger: Logger
  init(logger: Logger) { self.logger = logger }
}

/// Called by libpq on the connection's thread. At file scope: a closure would inherit the isolation of where it is
/// written.
func receiveNotice(context: UnsafeMutableRawPointer?, result: OpaquePointer?) {
  guard let context = unsafe context, let result = unsafe result else { return }
  let sink = unsafe Unmanaged<NoticeSink>.fromOpaque(context).takeUnretainedValue()
  let field = { (code: UnicodeScalar) in
    unsafe PQresultErrorField(result, Int32(code.value)).map { unsafe String(cString: $0) } ?? ""
  }
  let level: Logger.Level = field("V") == "WARNING" ? .warning : .debug
  sink.logger.log(level: level, "PostgreSQL: \(field("M"))", metadata: ["sqlstate": "\(field("C"))"])
}

/// A NULL-terminated array of C strings for the time of one call.
func withCStrings<Value>(_ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Value) -> Value {
  let bytes = strings.map { $0.utf8CString }
  return unsafe nested(bytes[...], [], body)
}

private func nested<Value>(_ rest: ArraySlice<ContiguousArray<CChar>>, _ pointers: [UnsafePointer<CChar>?],
                           _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Value) -> Value {
  guard let first = rest.first else { return unsafe body(pointers + [nil]) }
  return unsafe first.withUnsafeBufferPointer { unsafe nested(rest.dropFirst(), pointers + [$0.baseAddress], body) }
}

/// Pointers to the values, NULL for nil, for the time of one call.
func withPointers<Value>(to values: [[UInt8]?], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Value) -> Value {
  // One buffer and offsets into it, so that one closure is enough. Empty values need an address too: NULL is SQL NULL.
  var joined: [UInt8] = []
  var offsets: [Int?] = []
  for value in values {
    offsets.append(value.map { _ in joined.count })
    if let value { joined += value }
  }
  joined.append(0)
  return unsafe joined.withUnsafeBytes { bytes in
    let start = unsafe bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
    let pointers = unsafe offsets.map { offset in unsafe offset.flatMap { unsafe start?.advanced(by: $0) } }
    return unsafe body(pointers)
  }
}
