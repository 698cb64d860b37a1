// What other modules see of the journal: records go in, are durable, can be read again, and are let go.
package import Logging
internal import Foundation

/// An append-only file of records in a directory, for one process. Any thread may call; two threads of its own do the
/// work.
///
/// What is released before, and by whom what was committed, is not kept: at the start the caller reads everything and
/// skips what the database's cursors already have.
package final class Journal: Sendable {
  let state: JournalState
  let names: SegmentNames
  let logger: Logger

  /// Makes the directory where it is missing, takes its lock, and reads all that is in it. Blocks while it does.
  /// Throws `.unusable`, which names path and cause. Damage is no error: what is whole is kept, the log and `status`
  /// say what is not.
  package convenience init(directory: String, limits: JournalLimits = JournalLimits(),
                           logger: Logger) throws(JournalError) {
    try self.init(directory: directory, limits: limits, logger: logger, disk: SystemDisk())
  }

  /// With a disk that tests make fail.
  package init(directory: String, limits: JournalLimits, logger: Logger, disk: any JournalDisk) throws(JournalError) {
    if let fault = limits.fault { throw .unusable(path: directory, reason: fault) }
    let names = SegmentNames(directory: directory)
    let lock = try Self.takeLock(names)
    let recovery = try Recovery(names, limits: limits, disk: disk)
    Self.tell(recovery, logger)
    let state = JournalState(recovery, limits: limits, lock: lock)
    let supply = SegmentSupply(state, names, disk: disk, nextNumber: recovery.nextNumber, logger: logger)
    // A directory that cannot be written to is found out now, not with the first record. One that is merely full is
    // no reason not to start: there may be records to be read and released.
    if recovery.tailFile == nil, recovery.spares.isEmpty { try supply.makeFirst() }
    (self.names, self.state, self.logger) = (names, state, logger)
    // On the stack of the thread, not here: what it owns is its own.
    Self.start("journal") { GroupCommit(state, names, disk: disk, recovery: recovery, logger: logger).run() }
    Self.start("journal-files") { supply.run() }
  }

  deinit { close() }

  /// Checks a record and makes its checksum. Throws `.recordTooLarge`.
  package func prepare(_ record: consuming JournalRecord) throws(JournalError) -> PreparedRecord {
    let length = RecordHeader.length(of: record)
    let limit = state.limits.largestRecordBytes
    guard RecordHeader.padded(length) <= limit else { throw .recordTooLarge(bytes: length, limit: limit) }
    precondition(record.producerID.utf8.count <= UInt16.max && record.principal.utf8.count <= UInt16.max,
                 "names are at most 65,535 bytes long")
    let header = RecordHeader(record, length: length)
    return PreparedRecord(record: record, header: header)
  }

  /// Queues a record and returns where it stands. When it is durable, or is not going to be, `completion` is called,
  /// once, on the journal's thread, in the order of the appends; it must not block. When this throws nothing was queued
  /// and nothing is called: `.full`, `.diskFull` and `.busy` pass, so try again later.
  @discardableResult
  package func append(
    _ prepared: borrowing PreparedRecord,
    completion: @escaping @Sendable (Result<JournalPosition, JournalError>) -> Void
  ) throws(JournalError) -> JournalPosition {
    try state.append(prepared.record, prepared.header, completion)
  }

  /// Prepares and appends.
  @discardableResult
  package func append(
    _ record: JournalRecord, completion: @escaping @Sendable (Result<JournalPosition, JournalError>) -> Void
  ) throws(JournalError) -> JournalPosition {
    try append(try prepare(record), completion: completion)
  }

  /// All records before `position` are not needed any more: segments that lie wholly before it are used again.
  /// `status.end` lets go of everything.
  package func release(before position: JournalPosition) { state.release(before: position) }

  /// Writes and syncs what waits, then returns; nothing is taken any more. Not on the journal's own thread.
  package func close() {
    state.close()
  }

  package var status: JournalStatus { state.status }

  private static func takeLock(_ names: SegmentNames) throws(JournalError) -> JournalFile {
    do throws(DiskError) {
      try Disk.makeDirectories(names.directory)
      if let lock = try Disk.lock(names.lock) { return lock }
    } catch {
      throw .unusable(path: names.directory, reason: error.description)
    }
    throw .unusable(path: names.directory, reason: "another process has it open")
  }

  private static func tell(_ recovery: Recovery, _ logger: Logger) {
    for damage in recovery.damages {
      logger.error("the journal is damaged; the bytes are kept beside it in a file that ends with .damaged",
                   metadata: ["at": "\(damage)"])
    }
    guard recovery.recordCount > 0 else { return }
    logger.info("the journal has records of an earlier run", metadata: [
      "records": "\(recovery.recordCount)", "segments": "\(recovery.kept.count)", "end": "\(recovery.tail)",
    ])
  }

  private static func start(_ name: String, _ body: @escaping @Sendable () -> Void) {
    let thread = Thread(block: body)
    thread.name = name
    thread.start()
  }
}
