// The port to the database: what the pipeline needs of it.
package import PostgresStore
package import Telemetry

/// Commits transactions in order. Used by the pipeline's thread only; calls block.
package protocol ReadingStore: AnyObject {
  /// Stores all of it or nothing. Waits for a database that is away, until `stop`. Returns the `ingestion_timestamp` of
  /// its rows, microseconds since 1970, later than that of the transaction before.
  func commit(_ transaction: WriteTransaction) throws(WriteFailure) -> Int64
  /// Whether the database would take these rows: tried and rolled back. Throws `.data` when it would not.
  func check(_ batch: ReadingBatch) throws(WriteFailure)
  /// Ends a wait for the database, from any thread.
  var stopSignal: StopSignal { get }
  /// The stored cursors; a producer that was never seen is absent.
  func cursors(for producerIDs: [String]) throws(WriteFailure) -> [String: UInt64]
}

extension ReadingWriter: ReadingStore {}
