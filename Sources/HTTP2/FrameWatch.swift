// Finds frames that nghttp2 ignores and RFC 9113 makes errors of the connection. Pure: from bytes to a verdict.

/// Reads the nine bytes in front of each frame, as they come in pieces. nghttp2 keeps no closed streams for us
/// (`HTTP2Callbacks.options`), so it does not know any more what may come on them; it ignores a new stream below the
/// last one, and whatever is wrong with PRIORITY. A late frame on a stream that *we* have reset is no error, for it may
/// have been on its way: what counts is what the peer itself has said.
package struct FrameWatch {
  package enum Violation: Equatable {
    case protocolError
    case streamClosed
  }

  /// RFC 9113 4.1.
  private static let headerBytes = 9
  private static let data: UInt8 = 0, headers: UInt8 = 1, priority: UInt8 = 2, reset: UInt8 = 3
  private static let endStream: UInt8 = 1

  /// Bytes to come of the frame's payload; first, of the client's preface.
  private var payloadBytes = 24
  /// The front part of a header that a read has cut.
  private var begun: [UInt8] = []
  /// The last sixteen streams on which the peer has said its last word. A frame on an older one is ignored, as nghttp2
  /// does: only the error is lost.
  private var ended = InlineArray<16, Int32>(repeating: -1)
  private var nextPlace = 0
  /// The highest of all on which it has: above it, where new streams are, nothing is looked for.
  private var highestEnded: Int32 = -1
  private var highest: Int32 = 0
  /// The ids that were passed over last, below the highest: they are closed (5.1.1).
  private var passedOver: Range<Int32> = 0..<0

  package init() {}

  /// - Returns: the first frame of these bytes that ends the connection: where its header ends, and why.
  package mutating func firstViolation(in bytes: Span<UInt8>) -> (offset: Int, violation: Violation)? {
    var offset = 0
    while true {
      let passed = min(payloadBytes, bytes.count - offset)
      payloadBytes -= passed
      offset += passed
      if offset == bytes.count { return nil }
      let violation: Violation?
      if begun.isEmpty, bytes.count - offset >= Self.headerBytes {
        violation = judge(bytes.extracting(offset..<offset + Self.headerBytes))
        offset += Self.headerBytes
      } else {
        begun.append(bytes[offset])
        offset += 1
        guard begun.count == Self.headerBytes else { continue }
        let header = begun
        begun.removeAll()
        violation = judge(header.span)
      }
      if let violation { return (offset, violation) }
    }
  }

  private mutating func judge(_ header: Span<UInt8>) -> Violation? {
    payloadBytes = Int(header[0]) << 16 | Int(header[1]) << 8 | Int(header[2])
    let type = header[3]
    guard type <= Self.reset else { return nil }
    let id = Int32(header[5] & 0x7f) << 24 | Int32(header[6]) << 16 | Int32(header[7]) << 8 | Int32(header[8])
    if type == Self.priority { return id == 0 ? .protocolError : nil }
    if type == Self.headers, id > highest {
      passedOver = highest + 1..<id
      highest = id
    } else if type != Self.reset {
      if id <= highestEnded, hasEnded(id) { return .streamClosed }
      if type == Self.headers, passedOver.contains(id) { return .protocolError }
    }
    if type == Self.reset || header[4] & Self.endStream != 0 {
      ended[nextPlace] = id
      nextPlace = (nextPlace + 1) % ended.count
      highestEnded = max(highestEnded, id)
    }
    return nil
  }

  private func hasEnded(_ id: Int32) -> Bool {
    for index in ended.indices where ended[index] == id { return true }
    return false
  }
}
