// Compressed messages: any bytes are inflated within the limit or refused, and ours are read as they were.
import RPC
import Status

extension FuzzTarget {
  /// The first byte chooses encoding and limit; the rest is inflated, and compressed.
  static let compression = FuzzTarget("compression", seeds: [
    "gzip": [0] + MessageCompression().compressed(Array("readings, readings, readings".utf8).span, .gzip),
    "deflate": [1] + MessageCompression().compressed(Array("readings, readings, readings".utf8).span, .deflate),
    "gzip-members": [0] + MessageCompression().compressed([1, 2, 3].span, .gzip)
      + MessageCompression().compressed([4, 5].span, .gzip),
    "bomb": [3] + MessageCompression().compressed([UInt8](repeating: 0, count: 100_000).span, .deflate),
  ]) { bytes throws(FuzzFinding) in
    guard let choice = bytes.first else { return }
    let encoding: MessageEncoding = choice & 1 == 0 ? .gzip : .deflate
    let maximumBytes = choice & 2 == 0 ? 1 << 20 : 300
    let message = Array(bytes.dropFirst())
    let compression = MessageCompression()
    let outcome = Result { () throws(RPCStatus) in
      try compression.inflated(message.span, encoding, maximumBytes: maximumBytes)
    }
    switch outcome {
    case .success(let inflated):
      try FuzzFinding.require(inflated.count <= maximumBytes, "\(inflated.count) bytes are beyond \(maximumBytes)")
    case .failure(let status):
      try FuzzFinding.require(status.code == .internal || status.code == .resourceExhausted, "answered \(status)")
    }
    // With the state that the bytes before have left behind.
    let compressed = compression.compressed(message.span, encoding)
    let again = Result { () throws(RPCStatus) in
      try compression.inflated(compressed.span, encoding, maximumBytes: message.count)
    }
    try FuzzFinding.require(again == .success(message), "a message is not inflated as it was compressed")
  }
}
