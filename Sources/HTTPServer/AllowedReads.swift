// The size of a connection's reads: as much as comes, up to its allowance.
internal import HTTPCore
internal import NIOCore

/// Begins small and grows with what comes (a fixed 256 KiB cost 270 MiB with 1,000 idle connections, this 25), but not
/// above the allowance.
struct AllowedReads: RecvByteBufferAllocator, @unchecked Sendable {
  // @unchecked because a channel asks its allocator on its own loop only, where the allowance belongs.
  private let allowance: ReadAllowance
  private var adaptive = AdaptiveRecvByteBufferAllocator(
    minimum: 2048, initial: 4096, maximum: ReadAllowance.maximumBytes)

  init(_ allowance: ReadAllowance) { self.allowance = allowance }

  private var isCut: Bool { (adaptive.nextBufferSize() ?? 0) > allowance.byteCount }

  /// nil lets NIO ask for a buffer each time: one that it keeps is as large as the largest read was.
  func nextBufferSize() -> Int? { isCut ? nil : adaptive.nextBufferSize() }

  func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
    isCut ? allocator.buffer(capacity: allowance.byteCount) : adaptive.buffer(allocator: allocator)
  }

  /// Called between the read and the handlers. The answer matters only while reads are cut: then the next buffer is a
  /// new one.
  mutating func record(actualReadBytes: Int) -> Bool {
    allowance.began(actualReadBytes)
    _ = adaptive.record(actualReadBytes: actualReadBytes)
    return true
  }
}
