// THE FENCE of libnghttp2: owns one server session. Bytes in, notes about streams out, bytes out.
//
// long because every call into nghttp2 stands here: a fence in two files has a gap.
//
// nghttp2 does no I/O and is used from one thread, its connection's event loop. Callbacks (HTTP2Session+Callbacks) only
// take notes on streams and in `touched`; whoever called `receive` or `send` then reads the notes. Return codes that
// can only mean a bug of ours are preconditions; those that the peer can cause end the connection.
internal import CNghttp2
internal import HTTPCore
internal import NIOCore

/// A connection-level failure that nghttp2 can't go on from.
struct HTTP2SessionError: Error {
  /// nghttp2's own words, for the log.
  let reason: String
}

@safe final class HTTP2Session {
  let limits: HTTP2Limits
  let peer: String
  /// nil without TLS.
  let tlsPeer: TLSPeer?
  /// Called when something is to be sent, once until `isFlushDue` is false again.
  var onOutput: () -> Void = {}
  /// The connection is going to send what there is.
  var isFlushDue = false
  /// Streams with news, in the order in which it came; the connection takes and clears it.
  var touched: [HTTP2Stream] = []
  private(set) var live: [HTTP2Stream] = []
  var headReader: HTTP2HeadReader
  /// The answer to our drain PING came: the client has seen the shutdown notice.
  var isDrainAcknowledged = false
  /// PINGs of the peer; the connection takes and clears them, as it does the two notes behind.
  var receivedPings = 0
  /// The peer's first SETTINGS have come.
  var hasReceivedSettings = false
  /// DATA or HEADERS went or came.
  var hasExchanged = false
  /// Received bytes whose window has not been opened again.
  private(set) var uncreditedBytes = 0
  /// Response bytes that wait for the client's windows.
  private(set) var unreadBytes = 0
  /// Body bytes of a response have left since the connection last looked.
  var hasSentBody = false
  /// Exchanges that a delegate is answering.
  var runningCount = 0
  /// The first byte of the PING of a drain, and of the one that asks whether the peer is there.
  static let drainPingByte: UInt8 = 0
  static let keepalivePingByte: UInt8 = 1
  /// The shutdown notice is queued; its PING follows when it has been sent.
  private var awaitsDrainPing = false
  private var frames = FrameWatch()
  /// An error of the connection has been found: nothing of the peer counts any more.
  private var isTerminated = false

  /// Closed streams kept for reuse; more would be held for ever after one burst.
  private static let maximumSpareStreams = 128
  private var spare: [HTTP2Stream] = []
  private let memory: ConnectionMemory
  private var (windowBytes, receivedBytes) = (HTTP2Limits.firstConnectionWindowBytes, 0)
  private let raw: OpaquePointer
  private var fieldScratch: [nghttp2_nv] = unsafe []
  private var prepared = HTTP2PreparedForms()

  init(limits: HTTP2Limits, memory: ConnectionMemory, peer: String, tlsPeer: TLSPeer?) {
    headReader = HTTP2HeadReader(maximumBytes: Int(limits.maximumHeaderListBytes))
    self.limits = limits
    self.memory = memory
    self.peer = peer
    self.tlsPeer = tlsPeer
    var session: OpaquePointer?
    // Fails only when out of memory.
    let code = unsafe nghttp2_session_server_new3(&session, HTTP2Callbacks.shared, nil, HTTP2Callbacks.options,
                                                  memory.blocks.forNghttp2)
    guard code == 0, let session = unsafe session else { preconditionFailure("nghttp2 session: out of memory") }
    unsafe raw = session
    unsafe nghttp2_session_set_user_data(raw, Unmanaged.passUnretained(self).toOpaque())
    submitSettings()
  }

  deinit {
    memory.windows.release(Int(windowBytes - HTTP2Limits.firstConnectionWindowBytes))
    memory.held.release(unreadBytes)
    unsafe nghttp2_session_del(raw)
  }

  var wantsMore: Bool {
    unsafe nghttp2_session_want_read(raw) != 0 || nghttp2_session_want_write(raw) != 0
  }

  /// Feeds bytes from the peer.
  func receive(_ bytes: Span<UInt8>) throws(HTTP2SessionError) {
    guard !isTerminated else { return }
    let found = frames.firstViolation(in: bytes)
    let taken = unsafe bytes.withUnsafeBufferPointer { buffer in
      unsafe nghttp2_session_mem_recv(raw, buffer.baseAddress, found?.offset ?? buffer.count)
    }
    // BAD_CLIENT_MAGIC, FLOODED, NOMEM, CALLBACK_FAILURE: the connection can't go on.
    if taken < 0 { throw HTTP2SessionError(reason: Self.text(Int32(taken))) }
    if let found { terminate(found.violation) }
    if windowBytes < limits.maximumConnectionWindowBytes { growWindow() }
  }

  /// A connection error (RFC 9113 5.4.1): GOAWAY, and when it has been sent the session wants no more.
  private func terminate(_ violation: FrameWatch.Violation) {
    isTerminated = true
    let code = violation == .streamClosed ? NGHTTP2_STREAM_CLOSED : NGHTTP2_PROTOCOL_ERROR
    _ = unsafe nghttp2_session_terminate_session(raw, code.rawValue)
  }

  /// Appends what is to be sent, up to about `limit` bytes.
  func send(into output: inout ByteBuffer, limit: Int) throws(HTTP2SessionError) {
    while output.readableBytes < limit {
      var pointer: UnsafePointer<UInt8>?
      let count = unsafe nghttp2_session_mem_send(raw, &pointer)
      if count < 0 { throw HTTP2SessionError(reason: Self.text(Int32(count))) }
      guard count > 0, let pointer = unsafe pointer else { return }
      unsafe output.writeBytes(UnsafeRawBufferPointer(start: pointer, count: count))
    }
  }

  func askForFlush() {
    guard !isFlushDue else { return }
    isFlushDue = true
    onOutput()
  }

  // MARK: Memory

  func received(_ byteCount: Int) {
    receivedBytes += byteCount
    uncreditedBytes += byteCount
  }

  func wrote(_ byteCount: Int) {
    unreadBytes += byteCount
    memory.held.take(byteCount)
  }

  /// Response bytes have left, or nobody will read them.
  func unwrote(_ byteCount: Int) {
    unreadBytes -= byteCount
    memory.held.release(byteCount)
  }

  /// Opens the connection's window further when its client makes use of it and the byte budget has room.
  private func growWindow() {
    guard let wanted = memory.grow(windowBytes, received: receivedBytes, uncredited: uncreditedBytes, limits)
    else { return }
    windowBytes = wanted
    _ = unsafe nghttp2_session_set_local_window_size(raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, wanted)
    askForFlush()
  }

  // MARK: Streams

  func makeStream(id: Int32) {
    let stream = spare.popLast() ?? HTTP2Stream(session: self)
    stream.open(id: id)
    stream.liveIndex = live.count
    live.append(stream)
    // INVALID_ARGUMENT only for an unknown stream; this one has just been opened.
    _ = unsafe nghttp2_session_set_stream_user_data(raw, id, Unmanaged.passUnretained(stream).toOpaque())
  }

  /// Notes news of a stream, once in `touched` however much there is.
  func touch(_ stream: HTTP2Stream, _ news: HTTP2Stream.News) {
    stream.news.insert(news)
    guard !stream.isTouched else { return }
    stream.isTouched = true
    touched.append(stream)
  }

  /// Takes a closed stream out; its storage serves the next one.
  func remove(_ stream: HTTP2Stream) {
    if stream.uncreditedBytes > 0 {
      // The connection's window must get back what the stream never consumed.
      _ = unsafe nghttp2_session_consume_connection(raw, stream.uncreditedBytes)
      uncreditedBytes -= stream.uncreditedBytes
    }
    unwrote(stream.bufferedByteCount)
    let last = live.removeLast()
    if last !== stream {
      live[stream.liveIndex] = last
      last.liveIndex = stream.liveIndex
    }
    stream.stopRunning()
    stream.recycle()
    if spare.count < Self.maximumSpareStreams { spare.append(stream) }
  }

  /// The connection is gone and its streams have been told.
  func forgetStreams() {
    live = []
    spare = []
    touched = []
  }

  /// nghttp2 answers -1 for a stream that it does not know.
  func windows(of stream: HTTP2Stream) -> HTTPWindows? {
    let receivable = unsafe nghttp2_session_get_stream_local_window_size(raw, stream.id)
    guard receivable >= 0 else { return nil }
    // A new SETTINGS_INITIAL_WINDOW_SIZE can make the peer's window negative (RFC 9113 6.9.2): nghttp2 says 0.
    let sendable = unsafe nghttp2_session_get_stream_remote_window_size(raw, stream.id)
    let connection = unsafe (receivable: nghttp2_session_get_local_window_size(raw),
                             sendable: nghttp2_session_get_remote_window_size(raw))
    return HTTPWindows(receivable: Int(min(receivable, connection.receivable)),
                       sendable: Int(max(0, min(sendable, connection.sendable))))
  }

  // MARK: Submitting

  func submitResponse(_ stream: HTTP2Stream, status: Int, fields: HTTPFields, isEnd: Bool) {
    var head = HTTPFields()
    head.append(":status", status == 200 ? "200" : String(status))
    unsafe withFields(head, fields) { unsafe submitResponse(stream, $0, $1, isEnd: isEnd) }
  }

  func submitResponse(_ stream: HTTP2Stream, _ head: PreparedFields) {
    let fields = prepared[head]
    unsafe submitResponse(stream, fields.pointer, fields.count, isEnd: false)
  }

  private func submitResponse(_ stream: HTTP2Stream, _ fields: UnsafePointer<nghttp2_nv>?, _ count: Int, isEnd: Bool) {
    var provider = unsafe nghttp2_data_provider()
    unsafe provider.source.ptr = Unmanaged.passUnretained(stream).toOpaque()
    unsafe provider.read_callback = readOutbound
    // DATA_EXIST or INVALID_STATE would mean a second response: `HTTP2Stream.respond` prevents it.
    let code = unsafe isEnd ? nghttp2_submit_response(raw, stream.id, fields, count, nil)
      : withUnsafePointer(to: &provider) { unsafe nghttp2_submit_response(raw, stream.id, fields, count, $0) }
    precondition(code == 0 || code == NGHTTP2_ERR_NOMEM.rawValue, "nghttp2 refuses a response: \(Self.text(code))")
    askForFlush()
  }

  /// Only from `readOutbound`, when the last body byte is on its way.
  func submitTrailers(_ stream: HTTP2Stream) {
    if let trailers = stream.preparedTrailers {
      let fields = prepared[trailers]
      _ = unsafe nghttp2_submit_trailer(raw, stream.id, fields.pointer, fields.count)
    } else {
      unsafe withFields(HTTPFields(), stream.trailers ?? HTTPFields()) { pointer, count in
        _ = unsafe nghttp2_submit_trailer(raw, stream.id, pointer, count)
      }
    }
  }

  /// The answer is complete though the request is not: NO_ERROR tells the client to stop sending (RFC 9113 8.1). Only
  /// when the frame that ends the answer has been sent.
  func refuseRest(of stream: HTTP2Stream) { submitReset(stream, NGHTTP2_NO_ERROR) }

  func submitReset(_ stream: HTTP2Stream, _ reason: HTTPResetReason) {
    switch reason {
    case .cancelled: submitReset(stream, NGHTTP2_CANCEL)
    case .internalError: submitReset(stream, NGHTTP2_INTERNAL_ERROR)
    case .refused: submitReset(stream, NGHTTP2_REFUSED_STREAM)
    case .malformed: submitReset(stream, NGHTTP2_PROTOCOL_ERROR)
    }
  }

  private func submitReset(_ stream: HTTP2Stream, _ code: nghttp2_error_code) {
    _ = unsafe nghttp2_submit_rst_stream(raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, code.rawValue)
    askForFlush()
  }

  func resumeData(_ stream: HTTP2Stream) {
    // INVALID_ARGUMENT: the stream has closed meanwhile; nothing to resume.
    _ = unsafe nghttp2_session_resume_data(raw, stream.id)
  }

  func credit(_ stream: HTTP2Stream, byteCount: Int) {
    uncreditedBytes -= byteCount
    // Nothing more can come on a stream that has ended: its own window may stay as it is.
    // INVALID_ARGUMENT: the stream has closed; the connection's window is still owed.
    if unsafe stream.hasReceivedEnd || nghttp2_session_consume(raw, stream.id, byteCount) != 0 {
      _ = unsafe nghttp2_session_consume_connection(raw, byteCount)
    }
    askForFlush()
  }

  /// First step of a drain (RFC 9113 6.8): GOAWAY with the highest id, then a PING whose answer proves that the client
  /// has seen it.
  func submitShutdownNotice() {
    awaitsDrainPing = true
    _ = unsafe nghttp2_submit_shutdown_notice(raw)
    askForFlush()
  }

  func sentGoAway() {
    guard awaitsDrainPing else { return }
    awaitsDrainPing = false
    submitPing(Self.drainPingByte)
  }

  /// Asks whether the peer is there; whatever it sends is an answer.
  func submitKeepalivePing() {
    submitPing(Self.keepalivePingByte)
    askForFlush()
  }

  private func submitPing(_ byte: UInt8) {
    let data: [UInt8] = [byte, 0, 0, 0, 0, 0, 0, 0]
    _ = unsafe nghttp2_submit_ping(raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), data)
  }

  /// GOAWAY ENHANCE_YOUR_CALM with words that gRPC clients know; the caller closes, now or behind the last stream.
  func submitCalm(_ reason: StaticString) {
    let last = unsafe nghttp2_session_get_last_proc_stream_id(raw)
    _ = unsafe nghttp2_submit_goaway(raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, NGHTTP2_ENHANCE_YOUR_CALM.rawValue,
                                     reason.utf8Start, reason.utf8CodeUnitCount)
  }

  /// Second step: no stream above the last one processed will be served.
  func submitGoAway() {
    let last = unsafe nghttp2_session_get_last_proc_stream_id(raw)
    _ = unsafe nghttp2_submit_goaway(raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, NGHTTP2_NO_ERROR.rawValue, nil, 0)
    askForFlush()
  }

  private func submitSettings() {
    let settings = [
      nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue),
                             value: limits.maximumConcurrentStreams),
      nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
                             value: limits.streamWindowBytes),
      nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue),
                             value: limits.maximumHeaderListBytes),
      // We answer in the order in which answers are ready: the old priority tree is work for nothing (RFC 9218 2.1).
      nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES.rawValue), value: 1),
    ]
    let flags = UInt8(NGHTTP2_FLAG_NONE.rawValue)
    _ = unsafe nghttp2_submit_settings(raw, flags, settings, settings.count)
  }

  /// Two field lists as nghttp2 wants them; it copies names and values.
  private func withFields(_ first: HTTPFields, _ second: HTTPFields,
                          _ body: (UnsafePointer<nghttp2_nv>?, Int) -> Void) {
    unsafe fieldScratch.removeAll(keepingCapacity: true)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(first.listByteCount + second.listByteCount)
    func add(_ name: Span<UInt8>, _ value: Span<UInt8>) {
      unsafe fieldScratch.append(nghttp2_nv(name: nil, value: nil, namelen: name.count, valuelen: value.count,
                                            flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue)))
      bytes.append(copying: name)
      bytes.append(copying: value)
    }
    first.forEach(add)
    second.forEach(add)
    unsafe bytes.withUnsafeMutableBufferPointer { buffer in
      var next = buffer.baseAddress
      for index in unsafe fieldScratch.indices {
        unsafe fieldScratch[index].name = next
        unsafe fieldScratch[index].value = next?.advanced(by: fieldScratch[index].namelen)
        unsafe next = next?.advanced(by: fieldScratch[index].namelen + fieldScratch[index].valuelen)
      }
      unsafe fieldScratch.withUnsafeBufferPointer { unsafe body($0.baseAddress, $0.count) }
    }
  }

  static func text(_ code: Int32) -> String { unsafe String(cString: nghttp2_strerror(code)) }
}
