// Reads request heads. A client sends the same head with most requests, and HPACK gives the very same buffers for its
// fields: a head that equals the one before is neither copied nor checked again.
internal import CNghttp2
internal import Glibc
internal import HTTPCore

/// The head that is coming, and the one before it. Holds a count of each of nghttp2's buffers that it compares with, so
/// that none is freed and used again meanwhile.
@safe struct HTTP2HeadReader: ~Copyable {
  @safe private struct Field {
    let name: OpaquePointer
    let value: OpaquePointer

    /// Nearly always the very same buffers; paths and lengths, which clients leave out of the table, have new ones.
    @inline(__always)
    func isSame(_ name: OpaquePointer, _ value: OpaquePointer) -> Bool {
      unsafe Self.isSame(self.name, name) && Self.isSame(self.value, value)
    }

    @inline(__always)
    private static func isSame(_ one: OpaquePointer, _ other: OpaquePointer) -> Bool {
      if one == other { return true }
      let (one, other) = unsafe (nghttp2_rcbuf_get_buf(one), nghttp2_rcbuf_get_buf(other))
      return unsafe one.len == other.len && memcmp(one.base, other.base, one.len) == 0
    }
  }

  private let maximumBytes: Int
  /// The head before: its buffers, and what became of them.
  private var before: [Field] = []
  private var headBefore: HTTP2Head?
  /// How many fields of the coming head are those of the head before, in order; meaningless once they differ.
  private var matched = 0
  private var isMatching = false
  private var fields = HTTPFields()
  private var coming: [Field] = []
  private var isTooLarge = false
  /// The coming fields are trailers: checked, and dropped, for gRPC has no use for them in a request.
  private(set) var areTrailers = false

  init(maximumBytes: Int) { self.maximumBytes = maximumBytes }

  deinit {
    Self.release(before)
    Self.release(coming)
  }

  mutating func begin(areTrailers: Bool) {
    self.areTrailers = areTrailers
    matched = 0
    isMatching = headBefore != nil && !areTrailers
    isTooLarge = false
    if !coming.isEmpty { dropComing() }
  }

  mutating func add(_ name: OpaquePointer, _ value: OpaquePointer) {
    if isMatching {
      if matched < before.count, unsafe before[matched].isSame(name, value) {
        matched += 1
        return
      }
      takeOverMatched()
    }
    unsafe append(Field(name: name, value: value))
  }

  /// The head is complete.
  mutating func end() -> HTTP2Head {
    if isMatching {
      if matched == before.count, let headBefore { return headBefore }
      takeOverMatched()
    }
    let head = HTTP2Head(fields: fields, areTrailers: areTrailers, isTooLarge: isTooLarge)
    fields = HTTPFields()
    if !areTrailers, !isTooLarge, head.isWellFormed {
      Self.release(before)
      swap(&before, &coming)
      headBefore = head
    } else {
      Self.release(coming)
    }
    coming.removeAll(keepingCapacity: true)
    return head
  }

  private mutating func takeOverMatched() {
    isMatching = false
    for index in 0..<matched { append(before[index]) }
  }

  private mutating func append(_ field: Field) {
    guard !isTooLarge else { return }
    unsafe nghttp2_rcbuf_incref(field.name)
    unsafe nghttp2_rcbuf_incref(field.value)
    coming.append(field)
    let (name, value) = unsafe (nghttp2_rcbuf_get_buf(field.name), nghttp2_rcbuf_get_buf(field.value))
    unsafe fields.append(name: UnsafeBufferPointer(start: name.base, count: name.len).span,
                         value: UnsafeBufferPointer(start: value.base, count: value.len).span)
    isTooLarge = fields.listByteCount > maximumBytes
  }

  /// Of trailers whose stream was closed after their first part, nghttp2 does not tell the end.
  private mutating func dropComing() {
    Self.release(coming)
    coming.removeAll(keepingCapacity: true)
    fields = HTTPFields()
  }

  private static func release(_ fields: [Field]) {
    for field in fields {
      unsafe nghttp2_rcbuf_decref(field.name)
      unsafe nghttp2_rcbuf_decref(field.value)
    }
  }
}
