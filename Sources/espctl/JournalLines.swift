// What espctl journal inspect says, as JSON and, of a record, as text.
import Journal

struct RecordLine: Encodable, CustomStringConvertible {
  var position: String
  var kind: UInt8
  var producer: String
  var sequence: UInt64
  var principal: String
  var receivedAtMicroseconds: Int64
  var flags: UInt8
  var payloadBytes: Int

  init(_ position: JournalPosition, _ record: JournalRecord) {
    self.position = position.description
    kind = record.kind
    producer = record.producerID
    sequence = record.sequence
    principal = record.principal
    receivedAtMicroseconds = record.receivedAt
    flags = record.flags
    payloadBytes = record.payload.count
  }

  /// Names are quoted: they are the client's and may hold anything.
  var description: String {
    """
    \(position) kind \(kind) producer \(producer.debugDescription) sequence \(sequence) \
    principal \(principal.debugDescription) received \(receivedAtMicroseconds) flags \(flags) \(payloadBytes) bytes
    """
  }
}

struct SummaryLine: Encodable, CustomStringConvertible {
  struct Segment: Encodable {
    var segment: UInt64
    var records: Int
    var start: String
    var end: String
    var fileBytes: Int
  }

  struct Producer: Encodable {
    var producer: String
    var records: Int
    /// First and last of each run without a gap.
    var sequences: [[UInt64]]
  }

  struct Damage: Encodable {
    var position: String
    var bytes: Int
    var reason: String
  }

  var directory: String
  var records: Int
  var segments: [Segment]
  var producers: [Producer]
  var damages: [Damage]
  var keptAside: [String]
  var spareFiles: Int

  init(_ inspection: JournalInspection) {
    directory = inspection.directory
    records = inspection.recordCount
    segments = inspection.segments.map {
      Segment(segment: $0.segment, records: $0.recordCount, start: $0.start.description, end: $0.end.description,
              fileBytes: $0.fileBytes)
    }
    producers = inspection.producers.map {
      Producer(producer: $0.producerID, records: $0.recordCount,
               sequences: $0.sequences.map { [$0.lowerBound, $0.upperBound] })
    }
    damages = inspection.damages.map {
      Damage(position: $0.position.description, bytes: $0.byteCount, reason: $0.reason)
    }
    keptAside = inspection.keptAside
    spareFiles = inspection.spareFiles
  }

  var description: String { "\(records) records in \(segments.count) segments, \(spareFiles) spare files" }
}
