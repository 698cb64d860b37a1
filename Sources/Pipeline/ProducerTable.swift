// Where each producer stands: what is committed, what is on its way, and who sends it. Pure state, no lock of its own.
internal import Status

/// The cursors that this process has loaded. `IngestPipeline` guards it with its lock.
struct ProducerTable {
  /// Answers to wait for: a sequence that is still on its way, or (nil) everything that is on its way.
  struct Waiter {
    var sequence: UInt64?
    var resume: @Sendable (Settlement) -> Void
  }

  enum Settlement: Sendable {
    /// Everything waited for is settled; the cursor stands here.
    case settled(lastSequence: UInt64)
    case failed(RPCStatus)
  }

  struct Producer {
    var committed: UInt64
    /// The last sequence that was taken; `committed` when nothing is on its way.
    var accepted: UInt64
    var inFlight = 0
    weak var owner: (any StreamOwner)?
    var waiters: [Waiter] = []
    /// Another server has moved the cursor: nothing is taken until what is on its way has failed and the cursor is
    /// loaded anew.
    var isConflicted = false

    var isIdle: Bool { inFlight == 0 && owner == nil && waiters.isEmpty }
  }

  enum Step: Equatable {
    case next
    case duplicate
    /// The same sequence is on its way: its fate decides.
    case duplicateInFlight
    case gap(expected: UInt64)
    case takenOver
    case conflicted
    case unknown
  }

  /// Cursors kept in memory, at most about this many: 100,000 gateways are some 20 MB. Beyond: idle ones are forgotten
  /// and loaded again when needed.
  static let maximumCount = 100_000

  private(set) var byID: [String: Producer] = [:]

  mutating func load(_ id: String, lastSequence: UInt64) {
    guard byID[id] == nil else { return }
    if byID.count >= Self.maximumCount { byID = byID.filter { !$0.value.isIdle } }
    byID[id] = Producer(committed: lastSequence, accepted: lastSequence)
  }

  func step(_ id: String, _ sequence: UInt64, _ owner: (any StreamOwner)?) -> Step {
    guard let producer = byID[id] else { return .unknown }
    if producer.isConflicted { return .conflicted }
    if let owner, producer.owner !== owner { return .takenOver }
    if sequence <= producer.committed { return .duplicate }
    if sequence <= producer.accepted { return .duplicateInFlight }
    return sequence == producer.accepted + 1 ? .next : .gap(expected: producer.accepted + 1)
  }

  mutating func accept(_ id: String, _ sequence: UInt64) {
    byID[id]?.accepted = sequence
    byID[id]?.inFlight += 1
  }

  /// Makes `owner` the live stream; the one before it is returned, to be told.
  mutating func own(_ id: String, _ owner: any StreamOwner) -> (any StreamOwner)? {
    let before = byID[id]?.owner
    byID[id]?.owner = owner
    return before === owner ? nil : before
  }

  mutating func wait(_ id: String, _ waiter: Waiter) { byID[id]?.waiters.append(waiter) }

  /// A submission is settled; returns what its end sets free. A failure takes the sequence back, so that the client can
  /// send it again.
  mutating func settle(_ id: String, _ sequence: UInt64, failure: RPCStatus?) -> [@Sendable () -> Void] {
    guard var producer = byID[id] else { return [] }
    producer.inFlight -= 1
    if failure == nil { producer.committed = max(producer.committed, sequence) }
    if producer.inFlight == 0 { producer.accepted = producer.committed }
    var calls: [@Sendable () -> Void] = []
    let (committed, isIdle) = (producer.committed, producer.inFlight == 0)
    producer.waiters.removeAll { waiter in
      guard isIdle || waiter.sequence.map({ $0 <= committed }) == true else { return false }
      if let failure, waiter.sequence.map({ $0 > committed }) ?? producer.isConflicted {
        calls.append { waiter.resume(.failed(failure)) }
      } else {
        calls.append { waiter.resume(.settled(lastSequence: committed)) }
      }
      return true
    }
    byID[id] = isIdle && producer.isConflicted ? nil : producer
    return calls
  }

  /// Another server has moved the cursor: what we believed is worth nothing.
  mutating func conflict(_ id: String) { byID[id]?.isConflicted = true }
}
