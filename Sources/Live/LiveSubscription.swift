// One subscriber: where it stands, and what it gets next.
internal import PostgresStore
package import Status
internal import Telemetry

/// Pulls from a feed at its own pace. Used by one task; dropping it ends it.
package final class LiveSubscription {
  /// What comes next.
  enum Phase {
    case begin(ResumeToken?)
    /// The latest values of devices from `next` on; then `replay`, or the tail.
    case latest(devices: [Int], next: Int, replay: LiveReplay?)
    /// Readings that were stored since another subscription ended.
    case replay(LiveReplay)
    /// After a gap: the newest values of devices from `next` on.
    case newest(devices: [Int], next: Int, superseded: UInt64)
    case tail
  }

  let feed: LiveFeed
  let filter: LiveFilter
  private var phase: Phase
  /// Position of the next reading to look at.
  private var cursor: UInt64 = 0
  /// Published readings of the filter that were sent, or counted in a gap.
  private var accounted: UInt64 = 0
  /// When the last reading that was looked at was stored.
  private var lastIngestedAt: Int64 = 0
  /// What a replay has sent, until the tail is past it.
  private var replayed: LiveReplay.Seen?
  private var wanted = Set<Int>()
  private var wantedOf = -1

  init(_ feed: LiveFeed, _ filter: LiveFilter, _ token: ResumeToken?) {
    self.feed = feed
    self.filter = filter
    phase = .begin(token)
  }

  deinit { feed.leave() }

  /// The next readings, once there are some. Throws CANCELLED with its task, UNAVAILABLE at the shutdown, and what the
  /// database says.
  package func next() async throws(RPCStatus) -> LivePiece {
    while !Task.isCancelled {
      let piece = try await step()
      if !piece.isEmpty { return piece }
    }
    throw RPCStatus(.cancelled, "the subscriber has gone")
  }

  private func step() async throws(RPCStatus) -> LivePiece {
    switch phase {
    case .begin(let token):
      try feed.withState { live in begin(token, live) }
      return LivePiece()
    case .latest(let devices, let next, let replay):
      return try feed.withState { live in latest(devices, next, replay, live) }
    case .newest(let devices, let next, let superseded):
      return try feed.withState { live in newest(devices, next, superseded, live) }
    case .replay(let replay): return try await goOn(replay)
    case .tail:
      let (piece, isAtEnd) = try feed.withState { live in (tail(live), cursor == live.end) }
      if piece.isEmpty, isAtEnd { await feed.wait(from: cursor) }
      return piece
    }
  }

  // MARK: Beginning

  private func begin(_ token: ResumeToken?, _ live: LiveState) {
    follow(live)
    lastIngestedAt = live.horizon
    guard let token else {
      phase = .latest(devices: live.devices(of: filter), next: 0, replay: nil)
      return
    }
    guard token.epoch == feed.epoch, token.position + 1 >= live.start, token.position < live.end else {
      let replay = LiveReplay(from: token.ingestedAt, filter)
      phase = token.isSnapshot ? .latest(devices: live.devices(of: filter), next: 0, replay: replay) : .replay(replay)
      return
    }
    cursor = token.position + 1
    lastIngestedAt = token.ingestedAt
    for position in cursor..<live.end where isWanted(live.entry(at: position), live) { accounted -= 1 }
    phase = token.isSnapshot ? .latest(devices: live.devices(of: filter), next: 0, replay: nil) : .tail
  }

  /// The tail begins now.
  private func follow(_ live: LiveState) {
    cursor = live.end
    accounted = live.publishedCount(filter)
  }

  /// Latest values, but for those that the tail or the replay will bring.
  private func latest(_ devices: [Int], _ next: Int, _ replay: LiveReplay?, _ live: LiveState) -> LivePiece {
    var piece = LivePiece()
    let token = ResumeToken(epoch: replay == nil ? feed.epoch : 0, position: cursor - 1,
                            ingestedAt: replay?.start ?? lastIngestedAt, isSnapshot: true)
    let end = min(next + feed.limits.pieceCount, devices.count)
    for index in devices[next..<end] {
      guard let latest = live.devices[index].latest, latest.isAnomaly || !filter.anomaliesOnly,
            replay.map({ latest.ingestedAt < $0.start }) ?? (latest.position < cursor) else { continue }
      piece.append(latest, of: live.devices[index].id, token)
    }
    if end < devices.count {
      phase = .latest(devices: devices, next: end, replay: replay)
    } else {
      phase = replay.map { .replay($0) } ?? .tail
      if replay == nil, !piece.tokens.isEmpty { piece.tokens[piece.tokens.count - 1].isSnapshot = false }
    }
    return piece
  }

  // MARK: The tail

  private func tail(_ live: LiveState) -> LivePiece {
    if cursor < live.start { return gap(live) }
    var piece = LivePiece()
    let end = min(live.end, cursor + UInt64(feed.limits.scanCount))
    while cursor < end, piece.readings.count < feed.limits.pieceCount {
      let entry = live.entry(at: cursor)
      cursor += 1
      lastIngestedAt = entry.ingestedAt
      guard isWanted(entry, live) else { continue }
      accounted += 1
      let device = live.devices[entry.device].id
      if let replayed {
        if replayed.has(entry, of: device) { continue }
        if entry.ingestedAt > replayed.lastIngestedAt { self.replayed = nil }
      }
      piece.append(entry, of: device, token(entry))
    }
    return piece
  }

  /// The ring has overtaken the reader: it goes on with the newest value of each device.
  private func gap(_ live: LiveState) -> LivePiece {
    let devices = live.devices(of: filter).filter { position($0, live) >= cursor }
      .sorted { position($0, live) < position($1, live) }
    var piece = LivePiece()
    piece.gapToken = ResumeToken(epoch: feed.epoch, position: cursor - 1, ingestedAt: lastIngestedAt)
    let lost = live.publishedCount(filter) - accounted
    piece.gap = lost - min(lost, UInt64(devices.count))
    follow(live)
    phase = .newest(devices: devices, next: 0, superseded: 0)
    return piece
  }

  private func newest(_ devices: [Int], _ next: Int, _ superseded: UInt64, _ live: LiveState) -> LivePiece {
    var (piece, superseded) = (LivePiece(), superseded)
    let end = min(next + feed.limits.pieceCount, devices.count)
    for index in devices[next..<end] {
      // A newer one is on its way in the tail, and this one is gone.
      guard let latest = live.devices[index].latest, latest.position < cursor else {
        superseded += 1
        continue
      }
      piece.append(latest, of: live.devices[index].id, token(latest))
      lastIngestedAt = latest.ingestedAt
    }
    if end < devices.count {
      phase = .newest(devices: devices, next: end, superseded: superseded)
    } else if superseded > 0, piece.isEmpty {
      piece.gap = superseded
      piece.gapToken = ResumeToken(epoch: feed.epoch, position: cursor - 1, ingestedAt: lastIngestedAt)
      phase = .tail
    } else {
      // A gap stands before readings: the superseded ones are said in a piece of their own.
      phase = superseded > 0 ? .newest(devices: devices, next: end, superseded: superseded) : .tail
    }
    return piece
  }

  private func position(_ device: Int, _ live: LiveState) -> UInt64 { live.devices[device].latest?.position ?? 0 }

  private func token(_ entry: LiveState.Entry) -> ResumeToken {
    ResumeToken(epoch: feed.epoch, position: entry.position, ingestedAt: entry.ingestedAt)
  }

  private func isWanted(_ entry: LiveState.Entry, _ live: LiveState) -> Bool {
    if filter.anomaliesOnly, !entry.isAnomaly { return false }
    if filter.deviceIDs.isEmpty { return true }
    if wantedOf != live.devices.count {
      wanted = Set(filter.deviceIDs.compactMap { live.indexByID[$0] })
      wantedOf = live.devices.count
    }
    return wanted.contains(entry.device)
  }

  // MARK: Replay

  private func goOn(_ replay: LiveReplay) async throws(RPCStatus) -> LivePiece {
    var replay = replay
    // Before the question: what is committed after it is in the tail.
    try feed.withState { follow($0) }
    if let piece = try await replay.next(feed.history, feed.limits) {
      phase = .replay(replay)
      return piece
    }
    replayed = replay.seen
    lastIngestedAt = replay.seen.lastIngestedAt
    phase = .tail
    return LivePiece()
  }
}
