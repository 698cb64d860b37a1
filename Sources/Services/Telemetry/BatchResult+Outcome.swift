// A batch's result as it stands once the pipeline has told its outcome.
internal import Pipeline
internal import Status
internal import Telemetry

extension BatchResult {
  /// The result to send: the level reached, and the counts when the batch was a duplicate or the database refused
  /// readings. Throws what the call fails with.
  func settled(_ outcome: Submission.Outcome) throws(RPCStatus) -> BatchResult {
    switch outcome {
    case .reached(let level, let refused):
      var result = self
      result.ackLevel = level
      if !refused.isEmpty { result.quarantine(refused) }
      return result
    case .duplicate(let level):
      var result = BatchResult()
      result.sequence = sequence
      result.ackLevel = level
      if received > 0 {
        result.add(Verdict(firstIndex: 0, count: received, outcome: .duplicate, reason: .duplicateSequence))
      }
      return result
    case .failed(let status): throw status
    }
  }

  /// Readings counted as stored are quarantined after all: `places` in the order of those stored.
  private mutating func quarantine(_ places: [Int]) {
    let before = verdicts
    var merged = BatchResult()
    var (next, place, index) = (0, 0, UInt32(0))
    let refused = Set(places)
    while index < received {
      if next < before.count, before[next].firstIndex <= index {
        merged.add(before[next])
        index = before[next].firstIndex + before[next].count
        next += 1
      } else {
        if refused.contains(place) {
          merged.add(Verdict(firstIndex: index, outcome: .quarantined, reason: .storeFailed))
        }
        place += 1
        index += 1
      }
    }
    stored -= UInt32(places.count)
    quarantined += UInt32(places.count)
    verdicts = merged.verdicts
  }
}

extension AckLevel {
  /// DURABLE where the client does not choose.
  var orDefault: AckLevel { self == .unspecified ? .durable : self }
}
