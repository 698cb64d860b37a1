// What one entry of the journal holds, and where it stands.

/// Of a record's first byte. Positions rise in the order of appending and are never used twice in one directory.
package struct JournalPosition: Comparable, Hashable, Sendable, CustomStringConvertible {
  package var segment: UInt64
  package var offset: UInt32

  package init(segment: UInt64, offset: UInt32) {
    self.segment = segment
    self.offset = offset
  }

  package static func < (left: JournalPosition, right: JournalPosition) -> Bool {
    (left.segment, left.offset) < (right.segment, right.offset)
  }

  package var description: String { "\(segment):\(offset)" }
}

/// One record. The journal reads none of it.
package struct JournalRecord: Sendable, Equatable {
  /// 1 = messages of the ingest; others come with their feature.
  package var kind: UInt8
  /// At most 65,535 bytes of UTF-8, as is `principal`.
  package var producerID: String
  package var sequence: UInt64
  package var principal: String
  /// Microseconds since 1970.
  package var receivedAt: Int64
  /// The caller's.
  package var flags: UInt8
  package var payload: [UInt8]

  package init(kind: UInt8, producerID: String, sequence: UInt64, principal: String = "", receivedAt: Int64,
               flags: UInt8 = 0, payload: [UInt8]) {
    self.kind = kind
    self.producerID = producerID
    self.sequence = sequence
    self.principal = principal
    self.receivedAt = receivedAt
    self.flags = flags
    self.payload = payload
  }
}

/// A record with its checksum, ready to be appended: the long part of the work, done before any lock is taken.
package struct PreparedRecord: Sendable {
  let record: JournalRecord
  let header: RecordHeader
}
