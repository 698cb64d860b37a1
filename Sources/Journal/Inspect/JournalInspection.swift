// A look at a journal from outside: what its files hold. Changes nothing, and takes no lock.

/// What stands in a journal's directory, whether or not a process is writing to it.
///
/// While one does, segments may be released: one that is gone before its end was read is left out. What is written
/// after a segment was read is not seen.
package struct JournalInspection: Sendable {
  package struct Segment: Sendable, Equatable {
    package var segment: UInt64
    package var fileBytes: Int
    package var recordCount: Int
    /// Of its first record, and where its last one ends.
    package var start: JournalPosition
    package var end: JournalPosition
  }

  package struct Producer: Sendable, Equatable {
    package var producerID: String
    package var recordCount = 0
    /// Runs without a gap, in the order of the records.
    package var sequences: [ClosedRange<UInt64>] = []
  }

  package private(set) var directory: String
  /// In order.
  package private(set) var segments: [Segment] = []
  /// Sorted by their ids.
  package private(set) var producers: [Producer] = []
  /// In the order of the positions.
  package private(set) var damages: [JournalDamage] = []
  /// Files of bytes that a start found damaged and kept, sorted.
  package private(set) var keptAside: [String] = []
  package private(set) var spareFiles = 0

  package var recordCount: Int { segments.reduce(0) { $0 + $1.recordCount } }

  /// Reads the directory; `body` is given each whole record as it is met. Throws `.unusable`, which names path and
  /// cause, or what `body` throws.
  package init(directory: String, _ body: (JournalPosition, JournalRecord) throws -> Void = { _, _ in }) throws {
    self.directory = directory
    let names = SegmentNames(directory: directory)
    do {
      let listing = try names.list()
      spareFiles = listing.spares.count
      keptAside = try Disk.names(in: directory).filter { $0.hasSuffix(".damaged") }.sorted()
      var census: [String: Producer] = [:]
      for (index, segment) in listing.segments.enumerated() {
        var look = SegmentLook(segment)
        let next = index + 1 < listing.segments.count ? listing.segments[index + 1] : nil
        guard try look.read(names, next: next, body) else { continue }
        segments.append(look.segment)
        damages += look.damages
        for part in look.producers.values { census[part.producerID, default: Producer(part.producerID)].add(part) }
      }
      producers = census.values.sorted { $0.producerID < $1.producerID }
    } catch let error as DiskError {
      throw JournalError.unusable(path: directory, reason: error.description)
    }
  }
}

extension JournalInspection.Producer {
  init(_ producerID: String) { self.producerID = producerID }

  mutating func add(_ sequence: UInt64) {
    recordCount += 1
    join(sequence...sequence)
  }

  mutating func add(_ later: Self) {
    recordCount += later.recordCount
    for range in later.sequences { join(range) }
  }

  private mutating func join(_ range: ClosedRange<UInt64>) {
    if let last = sequences.last, last.upperBound < .max, range.lowerBound == last.upperBound + 1 {
      sequences[sequences.count - 1] = last.lowerBound...range.upperBound
    } else {
      sequences.append(range)
    }
  }
}
