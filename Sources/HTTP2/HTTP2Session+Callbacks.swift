// What nghttp2 calls back: file-scope functions that take notes on streams and never send or receive.
internal import CNghttp2
internal import HTTPCore

/// The callback table and the options, made once for all sessions.
enum HTTP2Callbacks {
  // Unsafe because it is a pointer; nghttp2 only reads it once it is made, on any thread.
  nonisolated(unsafe) static let shared: OpaquePointer = {
    var callbacks: OpaquePointer?
    unsafe nghttp2_session_callbacks_new(&callbacks)
    guard let callbacks = unsafe callbacks else { preconditionFailure("nghttp2 callbacks: out of memory") }
    unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, onBeginHeaders)
    unsafe nghttp2_session_callbacks_set_on_header_callback2(callbacks, onHeader)
    unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, onDataChunk)
    unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, onFrame)
    unsafe nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, onFrameSent)
    unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, onStreamClose)
    return unsafe callbacks
  }()

  // Unsafe because it is a pointer; nghttp2 only reads it once it is made, on any thread.
  nonisolated(unsafe) static let options: OpaquePointer = {
    var options: OpaquePointer?
    unsafe nghttp2_option_new(&options)
    guard let options = unsafe options else { preconditionFailure("nghttp2 options: out of memory") }
    // A window opens only when bytes are consumed: the back-pressure of every stream hangs on this.
    unsafe nghttp2_option_set_no_auto_window_update(options, 1)
    // Closed streams are kept for a priority tree that we do not use.
    unsafe nghttp2_option_set_no_closed_streams(options, 1)
    // The rules of RFC 9113 8 are HTTP2Head's: nghttp2 would check them anew with each request.
    unsafe nghttp2_option_set_no_http_messaging(options, 1)
    unsafe nghttp2_option_set_stream_reset_rate_limit(options, HTTP2Limits.streamResetBurst,
                                                      HTTP2Limits.streamResetsPerSecond)
    return unsafe options
  }()
}

/// Gives the session that calls back, without counting a reference: its connection holds it meanwhile. Here and with
/// streams the counts were a thirtieth of a small call.
@inline(__always)
private func withSession<Result>(_ userData: UnsafeMutableRawPointer?, else none: Result,
                                 _ body: (HTTP2Session) -> Result) -> Result {
  guard let userData = unsafe userData else { return none }
  return unsafe Unmanaged<HTTP2Session>.fromOpaque(userData)._withUnsafeGuaranteedRef { body($0) }
}

/// Gives the stream of that number, if it is there; the session holds it until it has closed and been told so.
@inline(__always)
private func withStream<Result>(_ raw: OpaquePointer?, _ id: Int32, else none: Result,
                                _ body: (HTTP2Stream) -> Result) -> Result {
  guard let stream = unsafe nghttp2_session_get_stream_user_data(raw, id) else { return none }
  return unsafe Unmanaged<HTTP2Stream>.fromOpaque(stream)._withUnsafeGuaranteedRef { body($0) }
}

private func onBeginHeaders(_ raw: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?,
                            _ userData: UnsafeMutableRawPointer?) -> Int32 {
  guard let frame = unsafe frame else { return 0 }
  return unsafe withSession(userData, else: 0) { session in
    let isRequest = unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
    session.headReader.begin(areTrailers: !isRequest)
    if isRequest { unsafe session.makeStream(id: frame.pointee.hd.stream_id) }
    return 0
  }
}

/// A field section is not interrupted (RFC 9113 4.3): its fields need not look for their stream.
private func onHeader(_ raw: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ name: OpaquePointer?,
                      _ value: OpaquePointer?, _ flags: UInt8, _ userData: UnsafeMutableRawPointer?) -> Int32 {
  guard let name = unsafe name, let value = unsafe value else { return 0 }
  return unsafe withSession(userData, else: 0) { session in
    unsafe session.headReader.add(name, value)
    return 0
  }
}

private func onDataChunk(_ raw: OpaquePointer?, _ flags: UInt8, _ id: Int32, _ data: UnsafePointer<UInt8>?,
                         _ count: Int, _ userData: UnsafeMutableRawPointer?) -> Int32 {
  unsafe withSession(userData, else: 0) { session in
    unsafe withStream(raw, id, else: 0) { stream in
      if stream.isFinished || stream.isMalformed {
        // Answered already: what still comes is dropped, but the connection's window must not run dry.
        _ = unsafe nghttp2_session_consume_connection(raw, count)
        return 0
      }
      stream.receivedBodyBytes += count
      unsafe stream.body.append(UnsafeBufferPointer(start: data, count: count).span)
      stream.uncreditedBytes += count
      session.received(count)
      session.touch(stream, .body)
      return 0
    }
  }
}

private func onFrame(_ raw: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?,
                     _ userData: UnsafeMutableRawPointer?) -> Int32 {
  guard let frame = unsafe frame else { return 0 }
  let type = unsafe UInt32(frame.pointee.hd.type)
  let flags = unsafe UInt32(frame.pointee.hd.flags)
  return unsafe withSession(userData, else: 0) { session in
    if type == NGHTTP2_PING.rawValue {
      if flags & NGHTTP2_FLAG_ACK.rawValue == 0 {
        session.receivedPings += 1
      } else if unsafe frame.pointee.ping.opaque_data.0 == HTTP2Session.drainPingByte {
        session.isDrainAcknowledged = true
      }
      return 0
    }
    if type == NGHTTP2_SETTINGS.rawValue { session.hasReceivedSettings = true }
    guard type == NGHTTP2_HEADERS.rawValue || type == NGHTTP2_DATA.rawValue else { return 0 }
    return unsafe withStream(raw, frame.pointee.hd.stream_id, else: 0) { stream in
      received(stream, session, isHead: type == NGHTTP2_HEADERS.rawValue,
               isEnd: flags & NGHTTP2_FLAG_END_STREAM.rawValue != 0)
    }
  }
}

/// HEADERS or DATA are complete.
@inline(__always)
private func received(_ stream: HTTP2Stream, _ session: HTTP2Session, isHead: Bool, isEnd: Bool) -> Int32 {
  session.hasExchanged = true
  if isHead {
    let head = session.headReader.end()
    // Trailers end a request (RFC 9113 8.1).
    guard head.isWellFormed || head.isTooLarge, isEnd || !session.headReader.areTrailers else {
      return refuse(stream, session)
    }
    if !session.headReader.areTrailers {
      stream.take(head)
      session.touch(stream, .head)
    }
  }
  guard stream.bodyAddsUp(isEnd: isEnd) else { return refuse(stream, session) }
  if isEnd {
    stream.hasReceivedEnd = true
    session.touch(stream, .end)
  }
  return 0
}

/// A malformed request: whoever has begun to answer it hears that it is gone, and nothing more.
private func refuse(_ stream: HTTP2Stream, _ session: HTTP2Session) -> Int32 {
  stream.news = []
  stream.isMalformed = true
  session.submitReset(stream, .malformed)
  return 0
}

/// What must follow a frame, and not come before it: nghttp2 sends PING ahead of all else, and drops what a stream
/// still has to send once its RST_STREAM is queued.
private func onFrameSent(_ raw: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?,
                         _ userData: UnsafeMutableRawPointer?) -> Int32 {
  guard let frame = unsafe frame else { return 0 }
  let type = unsafe UInt32(frame.pointee.hd.type)
  return unsafe withSession(userData, else: 0) { session in
    if type == NGHTTP2_GOAWAY.rawValue { session.sentGoAway() }
    guard type == NGHTTP2_HEADERS.rawValue || type == NGHTTP2_DATA.rawValue else { return 0 }
    session.hasExchanged = true
    guard unsafe UInt32(frame.pointee.hd.flags) & NGHTTP2_FLAG_END_STREAM.rawValue != 0 else { return 0 }
    return unsafe withStream(raw, frame.pointee.hd.stream_id, else: 0) { stream in
      if !stream.hasReceivedEnd { session.refuseRest(of: stream) }
      return 0
    }
  }
}

private func onStreamClose(_ raw: OpaquePointer?, _ id: Int32, _ code: UInt32,
                           _ userData: UnsafeMutableRawPointer?) -> Int32 {
  unsafe withSession(userData, else: 0) { session in
    unsafe withStream(raw, id, else: 0) { stream in
      stream.isClosed = true
      session.touch(stream, .closed)
      return 0
    }
  }
}

/// nghttp2 wants body bytes of a response: copies what there is, says when it is the last, hands over the trailers.
func readOutbound(_ raw: OpaquePointer?, _ id: Int32, _ buffer: UnsafeMutablePointer<UInt8>?, _ capacity: Int,
                  _ flags: UnsafeMutablePointer<UInt32>?, _ source: UnsafeMutablePointer<nghttp2_data_source>?,
                  _ userData: UnsafeMutableRawPointer?) -> Int {
  let failure = Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
  // The source is the stream that answers: nghttp2 asks for no more once it has closed.
  guard let buffer = unsafe buffer, let flags = unsafe flags, let stream = unsafe source?.pointee.ptr
  else { return failure }
  let room = unsafe UnsafeMutableBufferPointer(start: buffer, count: capacity)
  return unsafe withSession(userData, else: failure) { session in
    unsafe Unmanaged<HTTP2Stream>.fromOpaque(stream)._withUnsafeGuaranteedRef { stream in
      unsafe readOutbound(of: stream, session, into: room, flags)
    }
  }
}

@inline(__always)
private func readOutbound(of stream: HTTP2Stream, _ session: HTTP2Session,
                          into buffer: UnsafeMutableBufferPointer<UInt8>,
                          _ flags: UnsafeMutablePointer<UInt32>) -> Int {
  let count = min(stream.bufferedByteCount, buffer.count)
  unsafe stream.outbound.withUnsafeBufferPointer { outbound in
    guard count > 0, let from = outbound.baseAddress, let to = buffer.baseAddress else { return }
    unsafe to.update(from: from + stream.outboundStart, count: count)
  }
  stream.outboundStart += count
  session.unwrote(count)
  if count > 0 { session.hasSentBody = true }
  guard stream.bufferedByteCount == 0 else { return count }
  if count > 0 { stream.outbound.removeAll(keepingCapacity: true) }
  stream.outboundStart = 0
  if stream.isFinished {
    unsafe flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
    if stream.hasTrailers {
      unsafe flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
      session.submitTrailers(stream)
    }
    return count
  }
  if count > 0 {
    session.touch(stream, .drained)
    return count
  }
  stream.isDeferred = true
  return Int(NGHTTP2_ERR_DEFERRED.rawValue)
}
