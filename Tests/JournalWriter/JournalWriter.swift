// A program to be killed: says what its journal holds, then appends from several threads and says what is durable.
import Foundation
import Journal
import Logging
import Synchronization

/// `JournalWriter DIR LAST...`: a thread for each LAST, the newest sequence that the parent knows of its producer.
/// A line each, written at once:
///
///     found PRODUCER SEQUENCE POSITION     a record that the start found, in order
///     ready
///     acked PRODUCER SEQUENCE POSITION
///     release POSITION                     what lies before may go from now on
///     full TEXT                            the disk has no room; said once each time
///     error TEXT                           what must not be
@main
struct JournalWriter {
  /// Records of a producer that wait for the disk.
  static let inFlight = 64

  static func main() throws {
    let arguments = CommandLine.arguments
    var logger = Logger(label: "writer")
    logger.logLevel = .critical
    var limits = JournalLimits()
    // Small, so that a run of a tenth of a second begins, recycles and removes segments.
    (limits.segmentBytes, limits.maximumBytes, limits.maximumDiskShare) = (64 << 10, 2 << 20, 1)
    let journal: Journal
    do throws(JournalError) {
      journal = try Journal(directory: arguments[1], limits: limits, logger: logger)
    } catch {
      say("error \(error)")
      exit(1)
    }
    for damage in journal.status.damages { say("error \(damage)") }
    var last = arguments.dropFirst(2).map { UInt64($0) ?? 0 }
    try journal.forEachRecord { position, record in
      guard let producer = Int(record.producerID), last.indices.contains(producer),
        record.payload == payload(producer, record.sequence)
      else {
        say("error \(position) is not what was appended")
        return false
      }
      say("found \(producer) \(record.sequence) \(position)")
      last[producer] = max(last[producer], record.sequence)
      return true
    }
    say("ready")
    let release = Release(journal)
    for (producer, sequence) in last.enumerated() {
      Thread { write(producer, after: sequence, to: journal, release) }.start()
    }
    while true { sleep(60) }
  }

  private static func write(_ producer: Int, after last: UInt64, to journal: Journal, _ release: Release) {
    let slots = DispatchSemaphore(value: inFlight)
    var sequence = last + 1
    var isFull = false
    while true {
      slots.wait()
      let next = JournalRecord(kind: 1, producerID: "\(producer)", sequence: sequence, receivedAt: 0,
                               payload: payload(producer, sequence))
      do throws(JournalError) {
        let appended = sequence
        try journal.append(next) { result in
          switch result {
          case .success(let position):
            say("acked \(producer) \(appended) \(position)")
            release.passed(position)
          case .failure(.diskFull(let reason)): say("lost \(producer) \(appended) \(reason)")
          case .failure(let error): say("error \(error)")
          }
          slots.signal()
        }
        sequence += 1
        isFull = false
      } catch {
        slots.signal()
        switch error {
        case .full: usleep(500)  // room comes with the next release
        case .diskFull:
          if !isFull { say("full \(error)") }
          isFull = true
          usleep(2000)
        default: return say("error \(error)")
        }
      }
    }
  }

  static func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

  /// 0 to 3,000 bytes that no other record has.
  static func payload(_ producer: Int, _ sequence: UInt64) -> [UInt8] {
    var state = sequence &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(producer)
    let count = Int((state >> 40) % 3001)
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 56)
    }
  }
}

/// Lets go of old segments as new ones come. Used on the journal's thread only.
private final class Release: Sendable {
  /// Segments kept when the older ones go, and how many more there are by then.
  private static let (kept, surplus) = (8 as UInt64, 4 as UInt64)

  private let journal: Journal
  private let segment = Mutex<UInt64>(0)

  init(_ journal: Journal) { self.journal = journal }

  func passed(_ position: JournalPosition) {
    segment.withLock { released in
      guard position.segment > released + Self.kept + Self.surplus else { return }
      released = position.segment - Self.kept
      let before = JournalPosition(segment: released, offset: 0)
      JournalWriter.say("release \(before)")
      journal.release(before: before)
    }
  }
}
