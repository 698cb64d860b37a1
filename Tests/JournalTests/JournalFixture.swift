// A journal in a temporary folder, and records for it.
import Foundation
import Journal
import Logging
import Synchronization

/// Removed with its last user.
final class JournalFolder: Sendable {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/journal-test-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit {
    // Best effort: it is the system's folder for temporary things.
    try? FileManager.default.removeItem(atPath: path)
  }

  var journal: String { path + "/journal" }

  func open(_ limits: JournalLimits = .small, disk: any JournalDisk = SystemDisk()) throws(JournalError) -> Journal {
    try Journal(directory: journal, limits: limits, logger: .silent, disk: disk)
  }

  /// Names below the journal's folder, sorted.
  func files(_ suffix: String = "") throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: journal).filter { $0.hasSuffix(suffix) }.sorted()
  }

  func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(fileURLWithPath: journal + "/" + name)))
  }

  /// In place, so that what is open stays open.
  func replace(_ name: String, with bytes: [UInt8]) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: journal + "/" + name))
  }

  /// Another folder with the same files.
  func copy() throws -> JournalFolder {
    let folder = try JournalFolder()
    try FileManager.default.copyItem(atPath: journal, toPath: folder.journal)
    return folder
  }
}

extension Logger {
  static var silent: Logger {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return logger
  }
}

extension JournalLimits {
  /// Segments of 64 KiB, so that a test sees many of them, and no word about how full this machine's disk is.
  static var small: JournalLimits {
    var limits = JournalLimits()
    limits.segmentBytes = 64 << 10
    limits.maximumBytes = 64 << 20
    limits.maximumDiskShare = 1
    return limits
  }
}

extension JournalRecord {
  /// `byteCount` bytes that depend on the sequence.
  static func sample(_ sequence: UInt64, producer: String = "gateway-7", byteCount: Int = 100) -> JournalRecord {
    JournalRecord(
      kind: 1, producerID: producer, sequence: sequence, principal: "user:ä", receivedAt: -Int64(sequence),
      flags: UInt8(sequence % 7),
      payload: (0..<byteCount).map { UInt8(truncatingIfNeeded: Int(sequence) &* 31 &+ $0) })
  }
}

extension Journal {
  /// Waits for the disk.
  @discardableResult
  func appendAndWait(_ record: JournalRecord) throws -> JournalPosition {
    try appendAndWait([record])[0].get()
  }

  /// All at once; waits for all.
  func appendAndWait(_ records: [JournalRecord]) throws -> [Result<JournalPosition, JournalError>] {
    let results = Mutex<[Result<JournalPosition, JournalError>]>([])
    let done = DispatchSemaphore(value: 0)
    var queued = 0
    defer { for _ in 0..<queued { done.wait() } }
    for record in records {
      try append(record) { result in
        results.withLock { $0.append(result) }
        done.signal()
      }
      queued += 1
    }
    while queued > 0 {
      done.wait()
      queued -= 1
    }
    return results.withLock { $0 }
  }

  func all(from position: JournalPosition? = nil) throws -> [JournalRecord] {
    var records: [JournalRecord] = []
    try forEachRecord(from: position) { _, record in
      records.append(record)
      return true
    }
    return records
  }
}
