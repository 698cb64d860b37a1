// The length-prefixed message of gRPC over HTTP/2: one flag byte, four bytes of length, the message.
internal import HTTPCore

/// Finds messages in received bytes. Pure.
package enum MessageFrame {
  package static let prefixByteCount = 5

  package enum Outcome: Equatable, Sendable {
    /// Not all of it is here; `byteCount` more are needed at least.
    case incomplete(missing: Int)
    /// Where the message lies; the next frame begins behind it.
    case message(Range<Int>)
    /// The prefix announces more than the limit: known before the message itself has come.
    case tooLarge(byteCount: Int)
    /// The same, of a message that is compressed in the call's encoding.
    case compressedMessage(Range<Int>)
    /// The flag is neither 0 nor 1: this is no gRPC message.
    case invalidFlag(UInt8)
  }

  /// What the bytes begin with.
  package static func first(in bytes: Span<UInt8>, maximumMessageBytes: Int) -> Outcome {
    guard bytes.count >= prefixByteCount else { return .incomplete(missing: prefixByteCount - bytes.count) }
    guard bytes[0] <= 1 else { return .invalidFlag(bytes[0]) }
    let byteCount = Int(bytes[1]) << 24 | Int(bytes[2]) << 16 | Int(bytes[3]) << 8 | Int(bytes[4])
    guard byteCount <= maximumMessageBytes else { return .tooLarge(byteCount: byteCount) }
    let end = prefixByteCount + byteCount
    guard bytes.count >= end else { return .incomplete(missing: end - bytes.count) }
    return bytes[0] == 0 ? .message(prefixByteCount..<end) : .compressedMessage(prefixByteCount..<end)
  }

  /// Appends a frame whose message `append` writes in place.
  package static func append(to output: inout [UInt8], isCompressed: Bool = false,
                             _ append: (inout [UInt8]) -> Void) {
    let start = output.count
    // An array here would be an allocation a message.
    let prefix: InlineArray<5, UInt8> = [isCompressed ? 1 : 0, 0, 0, 0, 0]
    output.append(copying: prefix.span)
    append(&output)
    let byteCount = output.count - start - prefixByteCount
    precondition(byteCount <= UInt32.max, "a gRPC message has at most 4 GiB")
    for index in 0..<4 { output[start + 1 + index] = UInt8(truncatingIfNeeded: byteCount >> (24 - 8 * index)) }
  }
}
