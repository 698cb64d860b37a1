// The thread behind the pipeline: takes what waits, makes one transaction of it, sees it through, tells the outcome.
internal import Foundation
internal import Logging
internal import PostgresStore
internal import Status
internal import Telemetry

/// Lives on the pipeline's thread.
final class PipelineWriter {
  private let pipeline: IngestPipeline
  private let store: any ReadingStore
  private let logger: Logger
  /// This process's own cursor: moved by a transaction that moves no producer's, so that the database can always tell
  /// whether it was committed. "~" is not allowed in a client's producer id.
  private let ownProducerID = "~" + UUID().uuidString
  private var ownSequence: UInt64 = 0

  init(pipeline: IngestPipeline, store: any ReadingStore, logger: Logger) {
    self.pipeline = pipeline
    self.store = store
    self.logger = logger
  }

  /// Returns when the pipeline stops and nothing waits any more.
  func run() {
    while true {
      let work = pipeline.nextWork()
      if work.isEnd { return }
      if !work.loads.isEmpty { load(work.loads) }
      if !work.submissions.isEmpty { write(work.submissions) }
    }
  }

  private func load(_ loads: [(producerID: String, completion: @Sendable (ProducerTable.Settlement) -> Void)]) {
    do throws(WriteFailure) {
      let cursors = try store.cursors(for: loads.map(\.producerID))
      pipeline.loaded(loads.map { ($0.producerID, cursors[$0.producerID] ?? 0) })
      for load in loads { load.completion(.settled(lastSequence: cursors[load.producerID] ?? 0)) }
    } catch {
      let status = status(of: error)
      for load in loads { load.completion(.failed(status)) }
    }
  }

  private func write(_ submissions: [Submission]) {
    do throws(WriteFailure) {
      try commit(submissions)
      pipeline.settle(submissions, .committed)
    } catch {
      switch error {
      case .data where submissions.count > 1, .cursorConflict where submissions.count > 1:
        // One of them is at fault: each for itself, so that the others are not lost with it.
        for submission in submissions { write([submission]) }
      case .data(let reason): refuse(submissions[0], reason)
      default: pipeline.settle(submissions, .failed(status(of: error)))
      }
    }
  }

  /// The database refused these rows, which validation should have prevented: they are left out, the cursor moves.
  private func refuse(_ submission: Submission, _ reason: PostgresError) {
    logger.error("the database refused a batch", metadata: [
      "producer": "\(submission.claim?.producerID ?? "")", "sequence": "\(submission.claim?.sequence ?? 0)",
      "readings": "\(submission.batch.readings.count)", "reason": "\(reason)",
    ])
    var rest = submission
    rest.batch = ReadingBatch()
    do throws(WriteFailure) {
      try commit([rest])
      pipeline.settle([submission], .refused)
    } catch {
      pipeline.settle([submission], .failed(status(of: error)))
    }
  }

  private func commit(_ submissions: [Submission]) throws(WriteFailure) {
    var transaction = Self.transaction(submissions)
    let needsOwnCursor = transaction.cursors.isEmpty
    if needsOwnCursor {
      transaction.cursors = [CursorMove(producerID: ownProducerID, from: ownSequence, to: ownSequence + 1)]
    }
    try store.commit(transaction)
    if needsOwnCursor { ownSequence += 1 }
  }

  /// One transaction of all: the steps of one producer become one move of its cursor.
  private static func transaction(_ submissions: [Submission]) -> WriteTransaction {
    var transaction = WriteTransaction()
    var moves: [String: Int] = [:]
    let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
    for submission in submissions {
      let (producerID, sequence) = (submission.claim?.producerID ?? "", submission.claim?.sequence ?? 0)
      if !submission.batch.isEmpty { transaction.batches.append(submission.batch) }
      transaction.deadLetters += submission.deadLetters.map {
        RefusedReading($0, producerID: producerID, sequence: sequence, receivedAt: now)
      }
      guard !producerID.isEmpty else { continue }
      if let index = moves[producerID] {
        let from = transaction.cursors[index].from
        transaction.cursors[index] = CursorMove(producerID: producerID, from: from, to: sequence)
      } else {
        moves[producerID] = transaction.cursors.count
        transaction.cursors.append(CursorMove(producerID: producerID, from: sequence - 1, to: sequence))
      }
    }
    return transaction
  }

  private func status(of failure: WriteFailure) -> RPCStatus {
    switch failure {
    case .stopped: return IngestPipeline.stopping
    case .cursorConflict(let producerIDs):
      pipeline.conflicted(producerIDs)
      // Not ABORTED: that is for a stream whose producer has another one, and ends a client for good.
      return .unavailable("""
        another server has moved the cursor of producer \(producerIDs.joined(separator: ", ")): open the stream again \
        and resume
        """, retryAfter: .milliseconds(100))
    case .data(let error): return error.rpcStatus
    }
  }
}
