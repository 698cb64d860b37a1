// How much the journal may hold, in memory and on disk.

package struct JournalLimits: Sendable {
  /// Bytes of a segment file. 64 MiB: a new file every few seconds at full rate, and little disk while idle.
  package var segmentBytes = 64 << 20
  /// Bytes of all segment files together, spare ones included; beyond it `append` throws `.full`.
  package var maximumBytes = 8 << 30
  /// The part of its file system that may be in use after a new segment is made: PostgreSQL often lives on the same
  /// one and must not be starved. Beyond it `append` throws `.diskFull`.
  package var maximumDiskShare = 0.9
  /// Bytes of one record. 16 MiB: four times the largest message. Beyond it `append` throws `.recordTooLarge`.
  package var maximumRecordBytes = 16 << 20
  /// Bytes that wait for the disk. 64 MiB: half a second of a slow disk. Beyond it `append` throws `.busy`.
  package var maximumWaitingBytes = 64 << 20
  /// Spare segment files kept for the next ones: writing into old blocks is twice as fast as into new ones. More are
  /// removed.
  package var recycledSegments = 4

  package init() {}

  /// Where a record does not fit into any segment the segment decides.
  var largestRecordBytes: Int { min(maximumRecordBytes, segmentBytes - SegmentHeader.byteCount) }

  /// Nil when the journal can work with these; else what is wrong.
  var fault: String? {
    if segmentBytes < 2 * SegmentHeader.byteCount || segmentBytes > 1 << 31 || segmentBytes % 8 != 0 {
      return "a segment of \(segmentBytes) bytes: 8 KiB to 2 GiB in steps of 8 are possible"
    }
    if maximumBytes < 2 * segmentBytes {
      return "\(maximumBytes) bytes in all: two segments of \(segmentBytes) are the least"
    }
    let isShare = maximumDiskShare > 0 && maximumDiskShare <= 1
    return isShare ? nil : "a disk share of \(maximumDiskShare): above 0, up to 1"
  }
}
