// The memory that nghttp2 works with: small blocks, which the sessions of one event loop give back and take again.
internal import CNghttp2
internal import Glibc

/// nghttp2 takes and gives back some ten small blocks a request, more at once than malloc's own caches have room for:
/// malloc and free were 9 % of a small call's profile, these are 3 %. Used on one event loop only.
@safe final class HTTP2SessionBlocks {
  /// A block with its header is a multiple of this, bytes.
  fileprivate static let stepBytes = 64
  /// Larger blocks than this, bytes, are malloc's: buffers of frames, which a session keeps.
  fileprivate static let largestBytes = 1024
  /// In front of each block, bytes: how large it is. As large as malloc's alignment.
  fileprivate static let headerBytes = 16
  /// Free blocks kept for the next taker, bytes: those of some thousand calls at once. Beyond: given back to malloc.
  fileprivate static let maximumSpareBytes = 1 << 20

  @safe fileprivate struct State {
    /// First free block of each size; each begins with the next.
    var free = unsafe InlineArray<17, UnsafeMutableRawPointer?>(repeating: nil)
    var spareBytes = 0
  }

  private let state: UnsafeMutablePointer<State>
  private let functions: UnsafeMutablePointer<nghttp2_mem>

  /// What a session is made with.
  var forNghttp2: UnsafeMutablePointer<nghttp2_mem> { unsafe functions }

  init() {
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: State())
    unsafe functions = .allocate(capacity: 1)
    unsafe functions.initialize(to: nghttp2_mem(
      mem_user_data: state, malloc: takeBlock, free: giveBlock, calloc: takeZeroedBlock, realloc: resizeBlock))
  }

  deinit {
    for index in unsafe state.pointee.free.indices {
      while let block = unsafe state.pointee.free[index] {
        unsafe state.pointee.free[index] = block.load(as: UnsafeMutableRawPointer?.self)
        unsafe free(block)
      }
    }
    unsafe state.deallocate()
    unsafe functions.deallocate()
  }
}

private typealias Blocks = HTTP2SessionBlocks

/// Bytes of a block, header included.
private func wholeBytes(_ byteCount: Int) -> Int {
  // Sizes are nghttp2's own, of structures and of fields within their limits.
  let bytes = byteCount + Blocks.headerBytes
  return bytes > Blocks.largestBytes ? bytes : (bytes + Blocks.stepBytes - 1) & ~(Blocks.stepBytes - 1)
}

private func takeBlock(_ byteCount: Int, _ userData: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  let bytes = wholeBytes(byteCount)
  guard let state = unsafe userData?.assumingMemoryBound(to: Blocks.State.self) else { return nil }
  if bytes <= Blocks.largestBytes, let block = unsafe state.pointee.free[bytes / Blocks.stepBytes] {
    unsafe state.pointee.free[bytes / Blocks.stepBytes] = block.load(as: UnsafeMutableRawPointer?.self)
    unsafe state.pointee.spareBytes -= bytes
    unsafe block.storeBytes(of: bytes, as: Int.self)
    return unsafe block + Blocks.headerBytes
  }
  guard let block = unsafe malloc(bytes) else { return nil }
  unsafe block.storeBytes(of: bytes, as: Int.self)
  return unsafe block + Blocks.headerBytes
}

private func giveBlock(_ pointer: UnsafeMutableRawPointer?, _ userData: UnsafeMutableRawPointer?) {
  guard let pointer = unsafe pointer, let state = unsafe userData?.assumingMemoryBound(to: Blocks.State.self)
  else { return }
  let block = unsafe pointer - Blocks.headerBytes
  let bytes = unsafe block.load(as: Int.self)
  guard bytes <= Blocks.largestBytes, unsafe state.pointee.spareBytes + bytes <= Blocks.maximumSpareBytes
  else { return unsafe free(block) }
  unsafe block.storeBytes(of: state.pointee.free[bytes / Blocks.stepBytes], as: UnsafeMutableRawPointer?.self)
  unsafe state.pointee.free[bytes / Blocks.stepBytes] = block
  unsafe state.pointee.spareBytes += bytes
}

private func takeZeroedBlock(_ count: Int, _ byteCount: Int,
                             _ userData: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  let (bytes, isTooLarge) = count.multipliedReportingOverflow(by: byteCount)
  guard !isTooLarge, let block = unsafe takeBlock(bytes, userData) else { return nil }
  unsafe memset(block, 0, bytes)
  return unsafe block
}

private func resizeBlock(_ pointer: UnsafeMutableRawPointer?, _ byteCount: Int,
                         _ userData: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let pointer = unsafe pointer else { return unsafe takeBlock(byteCount, userData) }
  let bytesBefore = unsafe (pointer - Blocks.headerBytes).load(as: Int.self)
  if wholeBytes(byteCount) == bytesBefore { return unsafe pointer }
  guard let block = unsafe takeBlock(byteCount, userData) else { return nil }
  unsafe memcpy(block, pointer, min(bytesBefore - Blocks.headerBytes, byteCount))
  unsafe giveBlock(pointer, userData)
  return unsafe block
}
