// Copies of runs of bytes. Fence file: Array has no bulk initialiser from a Span yet, and a loop costs 1 ns a byte.

extension Span<UInt8> {
  var array: [UInt8] { unsafe withUnsafeBufferPointer { unsafe Array($0) } }

  /// Ill-formed UTF-8 becomes U+FFFD.
  var text: String { unsafe withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) } }
}
