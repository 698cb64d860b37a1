// A batch's result as it stands once the pipeline has settled it.
internal import Pipeline
internal import Telemetry

extension BatchResult {
  /// The result to send: the level reached, and the counts when the batch was a duplicate or was refused as a whole.
  func settled(_ outcome: Submission.Outcome) -> BatchResult {
    var result = self
    result.ackLevel = .committed
    switch outcome {
    case .committed, .failed: break
    case .duplicate:
      result = BatchResult()
      result.sequence = sequence
      result.ackLevel = .committed
      if received > 0 {
        result.add(Verdict(firstIndex: 0, count: received, outcome: .duplicate, reason: .duplicateSequence))
      }
    case .refused:
      // Validation should prevent it. The verdict covers as many readings as were refused, not their places.
      result.stored = 0
      if stored > 0 {
        result.add(Verdict(firstIndex: 0, count: stored, outcome: .rejected, reason: .storeFailed))
      }
    }
    return result
  }
}
