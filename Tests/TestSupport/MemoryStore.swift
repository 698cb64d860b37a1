// A store in memory, with the same rules as the real one, that can be held up and made to fail.
import Dispatch
import Pipeline
package import PostgresStore
import Synchronization
package import Telemetry

/// Keeps what was committed. Used by the pipeline's thread; looked at by tests from any thread.
package final class MemoryStore: ReadingStore, Sendable {
  package struct Contents {
    package var deviceIDs: [String] = []
    package var cursors: [String: UInt64] = [:]
    package var transactionCount = 0
    package var deadLetters: [RefusedReading] = []
  }

  /// A device whose readings this store can't take: they are a data error.
  package static let poison = "poison"

  package let stopSignal = StopSignal()
  private let contents: Mutex<Contents>
  /// While the gate is closed every commit waits in front of it.
  private let gate = Mutex<DispatchSemaphore?>(nil)
  private let nextFailure = Mutex<WriteFailure?>(nil)

  package init(cursors: [String: UInt64] = [:]) { contents = Mutex(Contents(cursors: cursors)) }

  package var stored: Contents { contents.withLock { $0 } }

  package func closeGate() { gate.withLock { $0 = DispatchSemaphore(value: 0) } }

  package func openGate() {
    gate.withLock { gate in
      gate?.signal()
      gate = nil
    }
  }

  package func failNext(_ failure: WriteFailure) { nextFailure.withLock { $0 = failure } }
  /// As another server would.
  package func moveCursor(_ id: String, to sequence: UInt64) { contents.withLock { $0.cursors[id] = sequence } }

  /// Transactions are a microsecond apart.
  package func commit(_ transaction: WriteTransaction) throws(WriteFailure) -> Int64 {
    if let gate = gate.withLock({ $0 }) {
      while gate.wait(timeout: .now() + .milliseconds(5)) == .timedOut {
        if stopSignal.isSignalled { throw .stopped }
      }
    }
    if let failure = nextFailure.withLock({ failure in defer { failure = nil }; return failure }) { throw failure }
    for batch in transaction.batches { try check(batch) }
    let devices = transaction.batches.flatMap(Self.devices)
    let conflicts = contents.withLock { contents in
      let conflicts = transaction.cursors.filter { (contents.cursors[$0.producerID] ?? 0) != $0.from }.map(\.producerID)
      guard conflicts.isEmpty else { return conflicts }
      for move in transaction.cursors { contents.cursors[move.producerID] = move.to }
      contents.deviceIDs += devices
      contents.deadLetters += transaction.deadLetters
      contents.transactionCount += 1
      return []
    }
    if !conflicts.isEmpty { throw .cursorConflict(producerIDs: conflicts) }
    return Int64(stored.transactionCount)
  }

  package func check(_ batch: ReadingBatch) throws(WriteFailure) {
    guard Self.devices(of: batch).contains(Self.poison) else { return }
    throw .data(PostgresError(.data, sqlState: "22003", "poison"))
  }

  private static func devices(of batch: ReadingBatch) -> [String] {
    batch.readings.map { batch.string($0.deviceID) }
  }

  package func cursors(for producerIDs: [String]) throws(WriteFailure) -> [String: UInt64] {
    contents.withLock { contents in contents.cursors.filter { producerIDs.contains($0.key) } }
  }
}
