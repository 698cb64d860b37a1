// Which dead letters are meant: some by their ids, or all that a filter lets through.

/// A filter over `dead_letters`; all that is given must match. Times are microseconds since 1970-01-01T00:00:00Z.
package struct DeadLetterFilter: Sendable, Equatable {
  /// nil = any; empty = those that came without a producer.
  package var producerID: String?
  /// Empty = any.
  package var reason = ""
  /// Empty = any.
  package var deviceID = ""
  /// By the time of receipt, half-open: `startTime <= received < endTime`.
  package var startTime: Int64?
  package var endTime: Int64?

  package init() {}

  /// Lets all dead letters through.
  package var isEmpty: Bool { self == DeadLetterFilter() }

  /// For a WHERE; appends its parameters.
  func conditions(_ parameters: inout [PostgresValue]) -> String {
    var conditions: [String] = []
    func add(_ condition: String, _ value: PostgresValue) {
      parameters.append(value)
      conditions.append("\(condition) $\(parameters.count)")
    }
    switch producerID {
    case nil: break
    // "~" is the server's own: readings that came without a producer.
    case "": conditions.append("(producer_id = '' OR (producer_id >= '~' AND producer_id < '\u{7F}'))")
    case let producerID?: add("producer_id =", .text(producerID))
    }
    if !reason.isEmpty { add("reason =", .text(reason)) }
    if !deviceID.isEmpty { add("device_id =", .text(deviceID)) }
    if let startTime { add("received_at >=", .timestamp(startTime)) }
    if let endTime { add("received_at <", .timestamp(endTime)) }
    return conditions.isEmpty ? "TRUE" : conditions.joined(separator: " AND ")
  }

  /// Of all that must not change between pages; the same in every process and version (FNV-1a).
  var hash: UInt64 {
    let text = "\(producerID.map { "p\($0)" } ?? "-")|\(reason)|\(deviceID)|\(startTime.map(String.init) ?? "-")|"
      + "\(endTime.map(String.init) ?? "-")"
    return text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }
}

/// The dead letters that a requeue or a discard is about.
package enum DeadLetterSelection: Sendable, Equatable {
  /// Each must exist, or nothing is done.
  case ids(Set<Int64>)
  case matching(DeadLetterFilter)
}
