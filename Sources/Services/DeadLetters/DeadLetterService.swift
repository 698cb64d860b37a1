// The dead letter service: one file an RPC, and here what they share.
internal import Contracts
package import PostgresStore
internal import Status
package import Telemetry

/// Shows what ingest quarantined, and lets go of it.
package struct DeadLetterService: DeadLetterServiceProtocol {
  let store: DeadLetterStore
  private let decoder: IngestDecoder

  /// - Parameter rules: those of ingest: what they refuse stays a dead letter.
  package init(store: DeadLetterStore, rules: ReadingRules) {
    self.store = store
    decoder = IngestDecoder(rules: rules)
  }

  func judge(_ original: [UInt8], _ now: Int64, _ batch: inout ReadingBatch) -> DeadLetterJudgement {
    switch decoder.decodeReading(original.span, now: now, into: &batch) {
    case .valid: .valid
    case .invalid(let problem): .invalid(problem)
    case .unreadable: .unreadable
    }
  }
}

extension DeadLetterSelection {
  /// What a requeue or a discard is about: ids, a filter that filters, or, said expressly, all.
  /// - Throws: INVALID_ARGUMENT that names the field at fault.
  init(id: [Int64], filter: ESPV1.DeadLetterFilter?, all: Bool) throws(RPCStatus) {
    guard id.count <= DeadLetterStore.maximumIDs else {
      throw .invalidField("id", "\(id.count) ids; at most \(DeadLetterStore.maximumIDs) in one call")
    }
    if let wrong = id.first(where: { $0 <= 0 }) {
      throw .invalidField("id", "\(wrong) is no id: they are those that ListDeadLetters gives, from 1")
    }
    let chosen = try DeadLetterFilter(filter ?? ESPV1.DeadLetterFilter(), prefix: "filter.")
    switch (id.isEmpty, chosen.isEmpty, all) {
    case (false, true, false): self = .ids(Set(id))
    case (true, false, false): self = .matching(chosen)
    case (true, true, true): self = .matching(DeadLetterFilter())
    case (true, true, false):
      throw .invalidField("filter", "it is empty: name ids, or filter, or say all = true for all dead letters")
    default: throw .invalidField("filter", "more than one of id, filter and all is given: which is meant?")
    }
  }
}

extension DeadLetterFilter {
  /// - Throws: INVALID_ARGUMENT that names the field at fault, after `prefix`.
  init(_ message: ESPV1.DeadLetterFilter, prefix: String = "") throws(RPCStatus) {
    self.init()
    if let id = message.producerID, !id.isEmpty, !ReadingRules.isValidID(id.utf8.span) {
      throw .invalidField(prefix + "producer_id", "is no producer id: 1 to 128 bytes of [A-Za-z0-9._:-], or empty")
    }
    // A reason of a newer version is no mistake; what can't be one is.
    guard message.reason.utf8.allSatisfy({ Self.reasonBytes.contains($0) }), message.reason.utf8.count <= 64 else {
      throw .invalidField(prefix + "reason", "is no reason: upper snake case, for example OUT_OF_RANGE")
    }
    if !message.deviceID.isEmpty, !ReadingRules.isValidID(message.deviceID.utf8.span) {
      throw .invalidField(prefix + "device_id", "is no device id: 1 to 128 bytes of [A-Za-z0-9._:-]")
    }
    producerID = message.producerID
    reason = message.reason
    deviceID = message.deviceID
    startTime = try ReadingQuery.microseconds(message.startTime, prefix + "start_time")
    endTime = try ReadingQuery.microseconds(message.endTime, prefix + "end_time")
    if let startTime, let endTime, startTime > endTime {
      throw .invalidField(prefix + "start_time", "it is after end_time")
    }
  }

  private static let reasonBytes = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_".utf8)
}
