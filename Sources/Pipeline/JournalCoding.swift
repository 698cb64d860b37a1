// The port to the messages: what the pipeline needs of them. It knows bytes and readings, Contracts knows the wire.
package import Journal
package import Telemetry

package protocol JournalCoding: Sendable {
  /// What `Submission` had beside these bytes, judged against the time of their receipt. Never fails: what can't be
  /// read any more comes as a dead letter.
  func decode(_ record: JournalRecord) -> DecodedRecord
  /// A reading as a serialized `esp.v1.Reading`.
  func original(of reading: Reading, in batch: ReadingBatch) -> [UInt8]
}

package struct DecodedRecord: Sendable {
  package var batch: ReadingBatch
  package var deadLetters: [DeadLetter]
  package var rejected: UInt32

  package init(batch: ReadingBatch, deadLetters: [DeadLetter], rejected: UInt32) {
    self.batch = batch
    self.deadLetters = deadLetters
    self.rejected = rejected
  }
}
