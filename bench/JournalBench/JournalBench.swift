// journal-bench: what an append to the journal costs, beside write and fdatasync without it.
import ArgumentParser
import Foundation
import Journal
import Logging
import Synchronization

@main
struct JournalBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "journal-bench", abstract: "Measures the journal in a new folder below DIR, which is removed.")

  @Argument(help: "A directory on the disk to be measured.") var directory: String
  @Option(help: "Bytes of a record's payload.") var bytes = 6600
  @Option(help: "Threads that append.") var threads = 4
  @Option(help: "Records of a thread that wait for the disk.") var inFlight = 256
  @Option(help: "Appends a second, all threads together; 0: as fast as it goes.") var rate = 0
  @Option(help: "Seconds of each measurement.") var seconds = 3.0

  private static let logger: Logger = {
    var logger = Logger(label: "journal-bench")
    logger.logLevel = .warning
    return logger
  }()

  func run() throws {
    let folder = directory + "/journal-bench-\(ProcessInfo.processInfo.processIdentifier)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    defer { removeFolder(folder) }
    measureChecksum()
    let batchBytes = try measureJournal(folder + "/journal")
    try measureReading(folder + "/journal")
    try measureRaw(folder + "/one", writeBytes: bytes, "raw, one record a sync")
    try measureRaw(folder + "/batch", writeBytes: batchBytes, "raw, \(batchBytes) bytes a sync")
  }

  private func removeFolder(_ folder: String) {
    do { try FileManager.default.removeItem(atPath: folder) } catch { print("left behind: \(folder): \(error)") }
  }

  private func measureChecksum() {
    let data = [UInt8](repeating: 0x5A, count: 1 << 20)
    var crc = CRC32C()
    let used = Stopwatch()
    for _ in 0..<512 { crc.update(data.span) }
    print("CRC-32C: \(format(512 / 1024 / used.cpu)) GiB/s of CPU time (\(crc.value))")
  }

  /// Returns the bytes of a mean batch.
  private func measureJournal(_ path: String) throws -> Int {
    let journal = try Journal(directory: path, logger: Self.logger)
    let meter = Meter(journal)
    let end = ContinuousClock.now + .seconds(seconds)
    let used = Stopwatch()
    DispatchQueue.concurrentPerform(iterations: threads) { append($0, to: journal, until: end, meter) }
    journal.close()
    let (cpu, elapsed, status) = (used.cpu, used.elapsed, journal.status)
    let appends = Double(status.appendedRecords)
    let (p50, p99) = meter.percentiles
    print("""
      journal: \(Int(appends / elapsed)) appends/s, ack p50 \(p50) us, p99 \(p99) us, \
      CPU \(format(1e6 * cpu / appends)) us an append, \(format(appends / Double(status.syncs))) appends a sync, \
      refused \(meter.refusals) times
      """)
    return Int(appends / Double(status.syncs)) * bytes
  }

  private func append(_ thread: Int, to journal: Journal, until end: ContinuousClock.Instant, _ meter: Meter) {
    let slots = DispatchSemaphore(value: inFlight)
    var record = JournalRecord(kind: 1, producerID: "producer-\(thread)", sequence: 0, receivedAt: 0,
                               payload: [UInt8](repeating: UInt8(thread), count: bytes))
    let pause: Duration? = rate > 0 ? .seconds(Double(threads) / Double(rate)) : nil
    var due = ContinuousClock.now
    while ContinuousClock.now < end {
      if let pause {
        due += pause
        let early = due - ContinuousClock.now
        if early > .zero { usleep(UInt32(early / .microseconds(1))) }
      }
      slots.wait()
      record.sequence += 1
      // From when it was due: waiting for a slot is a part of it.
      let begun = pause == nil ? ContinuousClock.now : due
      do throws(JournalError) {
        try journal.append(record) { result in
          meter.acked(result, after: ContinuousClock.now - begun)
          slots.signal()
        }
      } catch {
        slots.signal()
        meter.refused()
        usleep(200)
      }
    }
    for _ in 0..<inFlight { slots.wait() }
    for _ in 0..<inFlight { slots.signal() }
  }

  /// The start's reading of everything that is kept.
  private func measureReading(_ path: String) throws {
    var limits = JournalLimits()
    (limits.maximumDiskShare, limits.recycledSegments) = (1, 0)
    let filled = try Journal(directory: path, limits: limits, logger: Self.logger)
    let record = JournalRecord(kind: 1, producerID: "p", sequence: 1, receivedAt: 0,
                               payload: [UInt8](repeating: 7, count: bytes))
    var (written, failure) = (0, nil as JournalError?)
    while written < 512 << 20 {
      do throws(JournalError) {
        try filled.append(record) { _ in }
        written += bytes
      } catch {
        guard case .busy = error else { failure = error; break }
        usleep(500)
      }
    }
    filled.close()
    if let failure { throw failure }
    let used = Stopwatch()
    let journal = try Journal(directory: path, limits: limits, logger: Self.logger)
    let (elapsed, cpu, kept) = (used.elapsed, used.cpu, Double(journal.status.usedBytes) / 1e9)
    print("""
      start with \(format(kept)) GB in the page cache: \(format(kept / elapsed)) GB/s, \
      \(format(kept / cpu)) GB a second of CPU time
      """)
    journal.close()
  }

  private func measureRaw(_ path: String, writeBytes: Int, _ name: String) throws {
    let fileBytes = max(64 << 20, writeBytes)
    try Data(count: fileBytes).write(to: URL(fileURLWithPath: path))
    guard let file = FileHandle(forWritingAtPath: path) else { throw ValidationError("\(path) cannot be opened") }
    let data = Data(repeating: 1, count: writeBytes)
    guard fsync(file.fileDescriptor) == 0 else { throw ValidationError("fsync of \(path) failed") }
    var times: [Duration] = []
    let used = Stopwatch()
    let end = ContinuousClock.now + .seconds(seconds)
    var offset = 0
    while ContinuousClock.now < end {
      let begun = ContinuousClock.now
      if offset + writeBytes > fileBytes { offset = 0 }
      try file.seek(toOffset: UInt64(offset))
      try file.write(contentsOf: data)
      guard fdatasync(file.fileDescriptor) == 0 else { throw ValidationError("fdatasync of \(path) failed") }
      offset += writeBytes
      times.append(ContinuousClock.now - begun)
    }
    let records = Double(times.count) * Double(writeBytes) / Double(bytes)
    times.sort()
    print("""
      \(name): \(Int(records / used.elapsed)) records/s, \
      p50 \(Int(times[times.count / 2] / .microseconds(1))) us, \
      p99 \(Int(times[times.count * 99 / 100] / .microseconds(1))) us, \
      CPU \(format(1e6 * used.cpu / records)) us a record
      """)
  }
}

private func format(_ value: Double) -> String { String(format: "%.2f", value) }
