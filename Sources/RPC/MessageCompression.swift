// THE FENCE of zlib: whole messages, compressed and inflated.
internal import CZlib
internal import HTTPCore
package import Status

/// zlib's state for one event loop: made when first needed, then reused for each message. Used on that loop only.
@safe package final class MessageCompression {
  /// Bytes inflated at once, beside the message itself.
  private static let scratchBytes = 64 << 10

  private var inflater: UnsafeMutablePointer<z_stream>?
  private var gzipDeflater: UnsafeMutablePointer<z_stream>?
  private var zlibDeflater: UnsafeMutablePointer<z_stream>?
  private var scratch: [UInt8] = []

  package init() {}

  deinit {
    if let inflater = unsafe inflater {
      unsafe inflateEnd(inflater)
      unsafe inflater.deallocate()
    }
    unsafe Self.free(gzipDeflater)
    unsafe Self.free(zlibDeflater)
  }

  // MARK: Inflating

  /// The message as it was before the client compressed it. Never holds more than `maximumBytes` of it, whatever the
  /// message would become.
  /// - Throws: RESOURCE_EXHAUSTED above `maximumBytes`; INTERNAL when the bytes are not of this encoding.
  package func inflated(_ message: Span<UInt8>, _ encoding: MessageEncoding,
                        maximumBytes: Int) throws(RPCStatus) -> [UInt8] {
    precondition(encoding != .identity, "what is not compressed can't be inflated")
    // Some senders set the flag on an empty message and leave it empty.
    if message.isEmpty { return [] }
    let stream = unsafe inflaterStream(encoding)
    return try unsafe message.withUnsafeBufferPointer { input throws(RPCStatus) in
      // zlib's declaration lacks a const; it does not write there.
      unsafe stream.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
      unsafe stream.pointee.avail_in = UInt32(input.count)
      return try unsafe inflate(stream, encoding, maximumBytes)
    }
  }

  private func inflate(_ stream: UnsafeMutablePointer<z_stream>, _ encoding: MessageEncoding,
                       _ maximumBytes: Int) throws(RPCStatus) -> [UInt8] {
    var output: [UInt8] = []
    while true {
      let (code, count) = unsafe inflatePiece(stream)
      guard output.count + count <= maximumBytes else {
        throw RPCStatus(.resourceExhausted, """
          the message inflates to more than the limit of \(maximumBytes) bytes: send smaller batches
          """)
      }
      append(count, to: &output, maximumBytes)
      switch code {
      case Z_OK: break
      case Z_STREAM_END:
        if unsafe stream.pointee.avail_in == 0 { return output }
        // A gzip file may have several members (RFC 1952, 2.2); zlib's wrapping has one.
        guard encoding == .gzip else { throw malformed(encoding) }
        unsafe inflateReset(stream)
      // BUF_ERROR: the message ends early. DATA_ERROR, NEED_DICT: it is not of this encoding. MEM_ERROR can't be met
      // differently.
      default: throw malformed(encoding)
      }
    }
  }

  /// One turn: at most `scratchBytes` into `scratch`.
  private func inflatePiece(_ stream: UnsafeMutablePointer<z_stream>) -> (code: Int32, count: Int) {
    unsafe scratch.withUnsafeMutableBufferPointer { buffer in
      unsafe stream.pointee.next_out = buffer.baseAddress
      unsafe stream.pointee.avail_out = UInt32(buffer.count)
      let code = unsafe CZlib.inflate(stream, Z_NO_FLUSH)
      return unsafe (code, buffer.count - Int(stream.pointee.avail_out))
    }
  }

  /// Grows eightfold, but never beyond the limit, which an array on its own would: memory that is not touched costs
  /// nothing, the smaller blocks left behind by doubling were as large as the message.
  private func append(_ count: Int, to output: inout [UInt8], _ maximumBytes: Int) {
    let needed = output.count + count
    if needed > output.capacity { output.reserveCapacity(min(max(needed, 8 * output.capacity), maximumBytes)) }
    output.append(contentsOf: scratch[..<count])
  }

  private func malformed(_ encoding: MessageEncoding) -> RPCStatus {
    RPCStatus(.internal, "a message is flagged as compressed, but is not complete \(encoding.name)")
  }

  private func inflaterStream(_ encoding: MessageEncoding) -> UnsafeMutablePointer<z_stream> {
    let stream: UnsafeMutablePointer<z_stream>
    if let inflater = unsafe inflater {
      unsafe stream = inflater
    } else {
      unsafe stream = .allocate(capacity: 1)
      unsafe stream.initialize(to: z_stream())
      let code = unsafe zlib_inflate_init(stream)
      precondition(code == Z_OK, "zlib: out of memory")
      unsafe inflater = stream
      scratch = [UInt8](repeating: 0, count: Self.scratchBytes)
    }
    let code = unsafe inflateReset2(stream, Self.windowBits(encoding))
    precondition(code == Z_OK, "zlib refuses to begin anew: \(code)")
    return unsafe stream
  }

  // MARK: Deflating

  /// The message in this encoding.
  package func compressed(_ message: Span<UInt8>, _ encoding: MessageEncoding) -> [UInt8] {
    let stream = unsafe deflaterStream(encoding)
    // Large enough by zlib's word: one call does it all.
    var output = [UInt8](repeating: 0, count: Int(unsafe deflateBound(stream, UInt(message.count))))
    let code = unsafe message.withUnsafeBufferPointer { input in
      unsafe output.withUnsafeMutableBufferPointer { buffer in
        unsafe stream.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
        unsafe stream.pointee.avail_in = UInt32(input.count)
        unsafe stream.pointee.next_out = buffer.baseAddress
        unsafe stream.pointee.avail_out = UInt32(buffer.count)
        return unsafe deflate(stream, Z_FINISH)
      }
    }
    precondition(code == Z_STREAM_END, "zlib: a whole message does not fit into deflateBound: \(code)")
    output.removeLast(Int(unsafe stream.pointee.avail_out))
    return output
  }

  private func deflaterStream(_ encoding: MessageEncoding) -> UnsafeMutablePointer<z_stream> {
    if let stream = unsafe encoding == .gzip ? gzipDeflater : zlibDeflater {
      let code = unsafe deflateReset(stream)
      precondition(code == Z_OK, "zlib refuses to begin anew: \(code)")
      return unsafe stream
    }
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    unsafe stream.initialize(to: z_stream())
    let code = unsafe zlib_deflate_init(stream, Self.windowBits(encoding))
    precondition(code == Z_OK, "zlib: out of memory")
    if encoding == .gzip { unsafe gzipDeflater = stream } else { unsafe zlibDeflater = stream }
    return unsafe stream
  }

  private static func free(_ deflater: UnsafeMutablePointer<z_stream>?) {
    guard let deflater = unsafe deflater else { return }
    unsafe deflateEnd(deflater)
    unsafe deflater.deallocate()
  }

  /// 32 KiB of window, the largest; 16 more asks for gzip's wrapping (zlib.h, inflateInit2).
  private static func windowBits(_ encoding: MessageEncoding) -> Int32 { encoding == .gzip ? 15 + 16 : 15 }
}
