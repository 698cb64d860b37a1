// THE FENCE for libpq: one connection, its queries and its waits. No libpq type leaves this folder.
// This file is long because all of it works on the one private handle.
internal import CLibpq
import Dispatch
import Glibc
package import Logging

/// One connection to PostgreSQL, blocking, owned by one thread. Not Sendable.
///
/// All waits are poll(2) on the socket, so a hung server or network never holds the thread longer than `deadline`, and
/// a `StopSignal` wakes it from any other thread. After an error whose kind is `.connectionLost`, `.stopped` or
/// `.timedOut` the connection `isBroken`: drop it (or, for the last two, try `cancelQuery`).
@safe package final class PostgresConnection {
  /// Oldest server we work with: 14, the oldest that PostgreSQL still maintains.
  package static let minimumServerVersion: Int32 = 140_000
  /// A connection is made within this time or given up.
  static let connectTimeout: Duration = .seconds(10)

  private let raw: OpaquePointer
  private let notices: NoticeSink
  private let stop: StopSignal?
  private var isLost = false

  /// Ends any wait at this instant; nil = none. Set by the owner before an operation.
  package var deadline: ContinuousClock.Instant?
  /// Ends any wait of the current operation; beside the one given to `init`, which is for the connection's whole life.
  package var cancellation: StopSignal?

  /// Connects and sets the session: UTC, durable commits, no JIT. Throws `.connectionLost` when the server cannot be
  /// reached, refuses us, or does so for now (SQLSTATE 57P03, 53300).
  package init(_ location: PostgresLocation, stop: StopSignal? = nil, cancellation: StopSignal? = nil,
               deadline: ContinuousClock.Instant? = nil, logger: Logger) throws(PostgresError) {
    // Later entries win, and `dbname` is expanded in its place: the first ones are defaults that the location may
    // replace. Keepalives find a dead network in 25 s instead of two hours.
    let keys = ["fallback_application_name", "keepalives_idle", "keepalives_interval", "keepalives_count",
                "tcp_user_timeout", "dbname", "client_encoding"]
    let values = ["espd", "10", "5", "3", "25000", location.conninfo, "UTF8"]
    let started = unsafe withCStrings(keys) { keys in
      unsafe withCStrings(values) { values in unsafe PQconnectStartParams(keys, values, 1) }
    }
    guard let started = unsafe started else { throw PostgresError(.other, "libpq: out of memory") }
    unsafe raw = unsafe started
    self.stop = stop
    notices = NoticeSink(logger: logger)
    self.cancellation = cancellation
    self.deadline = deadline ?? .now + Self.connectTimeout
    unsafe PQsetNoticeReceiver(raw, receiveNotice, Unmanaged.passUnretained(notices).toOpaque())
    try finishConnecting()
    try setUpSession()
    self.cancellation = nil
    self.deadline = nil
  }

  deinit { unsafe PQfinish(raw) }

  /// No more use: the socket is dead or in the middle of something.
  package var isBroken: Bool { unsafe isLost || PQstatus(raw) != CONNECTION_OK }

  /// A transaction was begun and not ended.
  var isInTransaction: Bool { unsafe PQtransactionStatus(raw) != PQTRANS_IDLE }

  /// As 150018 for 15.18.
  package var serverVersion: Int32 { unsafe PQserverVersion(raw) }

  // MARK: Statements

  /// One or more statements without parameters or rows, in one round trip. Several are one transaction, unless they
  /// say otherwise.
  package func execute(_ sql: String) throws(PostgresError) {
    try send(sql)
    try finish()
  }

  /// As `execute`, and the last statement's only value, as text.
  package func value(_ sql: String) throws(PostgresError) -> String {
    try send(sql)
    guard let result = unsafe try lastResult() else { throw PostgresError(.other, "the server sent no result") }
    let rows = unsafe PostgresRows(taking: result)
    guard rows.count == 1 else { throw PostgresError(.other, "\(rows.count) rows instead of one") }
    return rows.text(0, 0)
  }

  /// The first half of `execute`: the statement is on its way when it returns.
  func send(_ sql: String) throws(PostgresError) {
    // 0: the connection is dead or busy.
    guard unsafe PQsendQuery(raw, sql) == 1 else { throw lost() }
    try flush()
  }

  /// The second half of `execute`: waits for the answer.
  func finish() throws(PostgresError) {
    let result = unsafe try lastResult()
    unsafe PQclear(result)
  }

  /// One statement with parameters; rows come in binary.
  package func query(_ sql: String, _ parameters: [PostgresValue] = []) throws(PostgresError) -> PostgresRows {
    let types = parameters.map(\.typeID)
    let encoded = parameters.map(\.encoded)
    let lengths = encoded.map { Int32($0?.count ?? 0) }
    let formats = [Int32](repeating: 1, count: parameters.count)
    let sent = unsafe withPointers(to: encoded) { values in
      unsafe PQsendQueryParams(raw, sql, Int32(parameters.count), types, values, lengths, formats, 1)
    }
    guard sent == 1 else { throw lost() }
    try flush()
    guard let result = unsafe try lastResult() else { throw PostgresError(.other, "the server sent no result") }
    return unsafe PostgresRows(taking: result)
  }

  /// `COPY ... FROM STDIN`: sends all of `bytes`, returns the number of rows that the server took.
  @discardableResult package func copy(_ sql: String, _ bytes: Span<UInt8>) throws(PostgresError) -> Int {
    try send(sql)
    let opened = unsafe try nextResult()
    guard unsafe PQresultStatus(opened) == PGRES_COPY_IN else {
      let error = unsafe failure(of: opened)
      unsafe PQclear(opened)
      try drain()
      throw error
    }
    unsafe PQclear(opened)
    try sendCopyData(bytes)
    guard let result = unsafe try lastResult() else { throw PostgresError(.other, "the server sent no result") }
    defer { unsafe PQclear(result) }
    return unsafe Int(String(cString: PQcmdTuples(result))) ?? 0
  }

  /// Sent in pieces, so that libpq's buffer stays small.
  private func sendCopyData(_ bytes: Span<UInt8>) throws(PostgresError) {
    let pieceBytes = 64 * 1024
    var offset = 0
    while offset < bytes.count {
      let piece = bytes.extracting(offset..<min(offset + pieceBytes, bytes.count))
      // 1: queued; 0: no room now; -1: dead, or the server has failed the COPY already: its error is the result.
      let status = unsafe piece.withUnsafeBytes { unsafe PQputCopyData(raw, $0.baseAddress, Int32($0.count)) }
      if status < 0 { break }
      if status == 1 { offset += piece.count }
      try flush()
    }
    while true {
      let status = unsafe PQputCopyEnd(raw, nil)
      if status != 0 { break }
      try wait(for: Int16(POLLOUT))
    }
    try flush()
  }

  // MARK: Cancelling

  /// After `.stopped` or `.timedOut`: asks the server to drop the query and waits shortly for it to say so. False: the
  /// connection is of no more use.
  ///
  /// The request goes over a connection of its own, made by blocking calls (PQcancel): on a thread of its own, for a
  /// stopped server would hold it.
  package func cancelQuery() -> Bool {
    guard !isBroken, let cancel = unsafe PQgetCancel(raw) else { return false }
    let address = UInt(bitPattern: cancel)
    let isSent = DispatchSemaphore(value: 0)
    DetachedThread.start("espd-cancel") {
      defer { isSent.signal() }
      guard let cancel = unsafe OpaquePointer(bitPattern: address) else { return }
      var text = [CChar](repeating: 0, count: 256)
      // Failure to cancel shows as silence on the connection itself.
      _ = unsafe PQcancel(cancel, &text, Int32(text.count))
      unsafe PQfreeCancel(cancel)
    }
    cancellation = nil
    deadline = .now + .milliseconds(500)
    defer { deadline = nil }
    do {
      try drain()
      // A request that is still on its way would hit the next query.
      guard isSent.wait(timeout: .now() + .milliseconds(500)) == .success else {
        isLost = true
        return false
      }
      return !isBroken
    } catch {
      isLost = true
      return false
    }
  }

  // MARK: Waiting

  private func finishConnecting() throws(PostgresError) {
    // As if PQconnectPoll had returned PGRES_POLLING_WRITING (manual 34.1).
    var status = PGRES_POLLING_WRITING
    while status != PGRES_POLLING_OK {
      if unsafe PQstatus(raw) == CONNECTION_BAD || status == PGRES_POLLING_FAILED { throw lost() }
      try wait(for: Int16(status == PGRES_POLLING_READING ? POLLIN : POLLOUT))
      status = unsafe PQconnectPoll(raw)
    }
    unsafe PQsetnonblocking(raw, 1)
  }

  private func setUpSession() throws(PostgresError) {
    guard serverVersion >= Self.minimumServerVersion else {
      throw PostgresError(.other, "PostgreSQL 14 or later is needed; this server is \(serverVersion / 10_000)")
    }
    // A role or database may have switched durability off; what is stronger than 'on' stays.
    try execute("""
      SET TimeZone = 'UTC'; SET jit = off; SET idle_in_transaction_session_timeout = '60s';
      SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
      """)
  }

  /// The last result; the first error, when there was one, after all results have been taken.
  private func lastResult() throws(PostgresError) -> OpaquePointer? {
    var last: OpaquePointer?
    var firstError: PostgresError?
    while let result = unsafe try nextResult() {
      unsafe PQclear(last)
      unsafe last = unsafe result
      let status = unsafe PQresultStatus(result)
      if status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE {
        firstError = unsafe firstError ?? failure(of: result)
      }
      if status == PGRES_COPY_IN || status == PGRES_COPY_OUT { preconditionFailure("COPY goes through copy(_:_:)") }
      if isLost { break }
    }
    guard let firstError else { return unsafe last }
    unsafe PQclear(last)
    throw firstError
  }

  private func drain() throws(PostgresError) {
    while let result = unsafe try nextResult() {
      let isCopy = unsafe PQresultStatus(result) == PGRES_COPY_IN
      unsafe PQclear(result)
      if isLost { return }
      if isCopy { unsafe PQputCopyEnd(raw, "cancelled") }
    }
  }

  private func nextResult() throws(PostgresError) -> OpaquePointer? {
    while unsafe PQisBusy(raw) == 1 {
      try wait(for: Int16(POLLIN))
      // 0: the connection is dead.
      guard unsafe PQconsumeInput(raw) == 1 else { throw lost() }
    }
    return unsafe PQgetResult(raw)
  }

  private func flush() throws(PostgresError) {
    // 0: all is sent; 1: some is left; -1: dead.
    while true {
      let status = unsafe PQflush(raw)
      if status == 0 { return }
      guard status == 1 else { throw lost() }
      try wait(for: Int16(POLLOUT | POLLIN))
      // Also read: a server that waits for us to read its notices would never read our data.
      guard unsafe PQconsumeInput(raw) == 1 else { throw lost() }
    }
  }

  private func wait(for events: Int16) throws(PostgresError) {
    while true {
      // poll(2) ignores a negative descriptor.
      var entries = [
        pollfd(fd: unsafe PQsocket(raw), events: events, revents: 0),
        pollfd(fd: stop?.fileDescriptor ?? -1, events: Int16(POLLIN), revents: 0),
        pollfd(fd: cancellation?.fileDescriptor ?? -1, events: Int16(POLLIN), revents: 0),
      ]
      let milliseconds = deadline.map { (ContinuousClock.now.duration(to: $0)).wholeMilliseconds } ?? -1
      let ready = unsafe poll(&entries, nfds_t(entries.count), milliseconds)
      if entries[1].revents != 0 || entries[2].revents != 0 { throw PostgresError(.stopped, "stopped while waiting") }
      if ready > 0 { return }
      if ready == 0 { throw PostgresError(.timedOut, "no answer before the deadline") }
      guard errno == EINTR else { throw PostgresError(.connectionLost, "poll failed, errno \(errno)") }
    }
  }

  // MARK: Errors

  private func lost() -> PostgresError {
    isLost = true
    let text = unsafe PQerrorMessage(raw).map { unsafe String(cString: $0) } ?? ""
    return PostgresError(.connectionLost, oneLine(text))
  }

  private func failure(of result: OpaquePointer?) -> PostgresError {
    guard let result = unsafe result else { return lost() }
    let state = unsafe field(result, "C")
    // FATAL and PANIC end the session whatever the SQLSTATE.
    let isFatal = unsafe field(result, "V") != "ERROR"
    let kind: PostgresError.Kind =
      if unsafe PQstatus(raw) != CONNECTION_OK || isFatal || state.isEmpty { .connectionLost }
      else if state.hasPrefix("22") || state.hasPrefix("23") { .data }
      else { .other }
    if kind == .connectionLost { isLost = true }
    let message = unsafe field(result, "M")
    return unsafe PostgresError(kind, sqlState: state, message.isEmpty ? lostText() : message,
                                detail: field(result, "D"), constraint: field(result, "n"))
  }

  private func lostText() -> String {
    oneLine(unsafe PQerrorMessage(raw).map { unsafe String(cString: $0) } ?? "the connection is gone")
  }

  /// Field codes: PostgreSQL manual 55.8.
  private func field(_ result: OpaquePointer, _ code: UnicodeScalar) -> String {
    unsafe PQresultErrorField(result, Int32(code.value)).map { unsafe String(cString: $0) } ?? ""
  }

  private func oneLine(_ text: String) -> String {
    text.split(whereSeparator: \.isNewline).joined(separator: " ")
  }
}
