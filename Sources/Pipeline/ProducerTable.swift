// Where each producer stands: what is committed, what is durable, what is on its way, and who sends it. Pure state, no
// lock of its own.
internal import Status
internal import Telemetry

/// The cursors that this process has loaded. `IngestPipeline` guards it with its lock.
struct ProducerTable {
  /// Somebody who waits until a sequence has reached a level.
  struct Waiter {
    var sequence: UInt64
    var level: AckLevel
    var resume: @Sendable (Settlement) -> Void
  }

  enum Settlement: Sendable {
    /// `refused`: places of readings in the batch that the database did not take; at `committed` only.
    case reached(refused: [Int])
    case failed(RPCStatus)
  }

  struct Producer {
    /// The last sequence in the database.
    var committed: UInt64
    /// The last one in the journal's synced part; not below `committed`.
    var durable: UInt64
    /// The last one that was taken; not below `durable`.
    var accepted: UInt64
    /// Through which journal all after `committed` goes.
    var priority = IngestPriority.live
    weak var owner: (any StreamOwner)?
    var waiters: [Waiter] = []

    /// The level that a sequence has reached; nil when it was not taken.
    func level(of sequence: UInt64) -> AckLevel? {
      if sequence <= committed { return .committed }
      if sequence <= durable { return .durable }
      return sequence <= accepted ? .accepted : nil
    }

    var isIdle: Bool { accepted == committed && owner == nil && waiters.isEmpty }
  }

  enum Step: Equatable {
    case next
    /// Taken before; it has reached this level.
    case duplicate(AckLevel)
    case gap(expected: UInt64)
    case takenOver
    case otherPriority
    case unknown
  }

  typealias Call = @Sendable () -> Void

  /// Cursors kept in memory, at most about this many: 100,000 gateways are some 20 MB. Beyond: idle ones are forgotten
  /// and loaded again when needed.
  static let maximumCount = 100_000

  private(set) var byID: [String: Producer] = [:]

  /// `durable` is below `committed` for what only the database has.
  mutating func load(_ id: String, committed: UInt64, durable: UInt64 = 0, priority: IngestPriority = .live) {
    guard byID[id] == nil else { return }
    // The server's own stay: nobody would load them again.
    if byID.count >= Self.maximumCount { byID = byID.filter { !$0.value.isIdle || $0.key.hasPrefix("~") } }
    let last = max(committed, durable)
    byID[id] = Producer(committed: committed, durable: last, accepted: last, priority: priority)
  }

  /// Forgets a producer that nobody uses; false: it is in use. The server's own ("~") are as long as it runs.
  mutating func forget(_ id: String) -> Bool {
    guard let producer = byID[id] else { return true }
    guard producer.isIdle, !id.hasPrefix("~") else { return false }
    byID[id] = nil
    return true
  }

  /// At the start: a journal has a producer's batches up to `durable`. Either journal may have the newest: committed
  /// ones stay in their segment until all of it is.
  mutating func recover(_ id: String, committed: UInt64, durable: UInt64, priority: IngestPriority) {
    guard let producer = byID[id] else {
      return load(id, committed: committed, durable: durable, priority: priority)
    }
    guard durable > producer.durable else { return }
    byID[id]?.durable = durable
    byID[id]?.accepted = durable
    byID[id]?.priority = priority
  }

  func step(_ claim: Submission.Claim, _ priority: IngestPriority) -> Step {
    guard let producer = byID[claim.producerID] else { return .unknown }
    if let owner = claim.owner, producer.owner !== owner { return .takenOver }
    if let level = producer.level(of: claim.sequence) { return .duplicate(level) }
    guard claim.sequence == producer.accepted + 1 else { return .gap(expected: producer.accepted + 1) }
    if producer.priority != priority, producer.accepted > producer.committed { return .otherPriority }
    return .next
  }

  mutating func accept(_ id: String, _ sequence: UInt64, _ priority: IngestPriority) {
    byID[id]?.accepted = sequence
    byID[id]?.priority = priority
  }

  /// Makes `owner` the live stream; the one before it is returned, to be told.
  mutating func own(_ id: String, _ owner: any StreamOwner) -> (any StreamOwner)? {
    let before = byID[id]?.owner
    byID[id]?.owner = owner
    return before === owner ? nil : before
  }

  mutating func wait(_ id: String, _ waiter: Waiter) { byID[id]?.waiters.append(waiter) }

  mutating func becameDurable(_ id: String, _ sequence: UInt64) -> [Call] {
    guard let producer = byID[id] else { return [] }
    byID[id]?.durable = max(producer.durable, sequence)
    return resume(id, upTo: sequence, level: .durable)
  }

  /// The database has it; `refused` are readings of this very sequence.
  mutating func becameCommitted(_ id: String, _ sequence: UInt64, refused: [Int]) -> [Call] {
    raise(id, committed: sequence)
    return resume(id, upTo: sequence, level: .committed, refused: (sequence, refused))
  }

  /// The journal did not take it, nor anything after it.
  mutating func lost(_ id: String, _ sequence: UInt64, _ status: RPCStatus) -> [Call] {
    guard var producer = byID[id] else { return [] }
    producer.accepted = producer.durable
    let durable = producer.durable
    var calls: [Call] = []
    producer.waiters.removeAll { waiter in
      guard waiter.sequence > durable else { return false }
      calls.append { waiter.resume(.failed(status)) }
      return true
    }
    byID[id] = producer
    return calls
  }

  /// What the database says of a cursor that was not where we believed. Returns who has what it waits for by that.
  mutating func reload(_ id: String, committed: UInt64) -> [Call] {
    load(id, committed: committed)
    byID[id]?.committed = committed
    raise(id, committed: committed)
    return resume(id, upTo: committed, level: .committed)
  }

  /// Everyone who still waits.
  mutating func failAll(_ status: RPCStatus) -> [Call] {
    var calls: [Call] = []
    for (id, producer) in byID where !producer.waiters.isEmpty {
      for waiter in producer.waiters { calls.append { waiter.resume(.failed(status)) } }
      byID[id]?.waiters = []
    }
    return calls
  }

  private mutating func raise(_ id: String, committed: UInt64) {
    guard var producer = byID[id] else { return }
    producer.committed = max(producer.committed, committed)
    producer.durable = max(producer.durable, producer.committed)
    producer.accepted = max(producer.accepted, producer.durable)
    byID[id] = producer
  }

  private mutating func resume(_ id: String, upTo sequence: UInt64, level: AckLevel,
                               refused: (sequence: UInt64, places: [Int]) = (0, [])) -> [Call] {
    guard byID[id]?.waiters.isEmpty == false else { return [] }
    var calls: [Call] = []
    byID[id]?.waiters.removeAll { waiter in
      guard waiter.sequence <= sequence, waiter.level <= level else { return false }
      let places = waiter.sequence == refused.sequence ? refused.places : []
      calls.append { waiter.resume(.reached(refused: places)) }
      return true
    }
    return calls
  }
}
