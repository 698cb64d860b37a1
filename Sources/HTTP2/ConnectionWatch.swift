// Decides when a connection is pinged, asked to go or cut. Pure: clock and deeds are HTTP2Handler's.

/// What one connection has been doing, looked at again and again.
package struct ConnectionWatch {
  package enum Action: Equatable {
    /// See whether the peer is still there.
    case ping
    /// GOAWAY in two steps; the streams that are open may end.
    case drain
    /// Close now. The reason is for the log.
    case cut(String)
  }

  private let limits: HTTP2Limits
  private let begin: ContinuousClock.Instant
  private let maximumAge: Duration?
  private var hasGreeted = false
  /// Since the last look. A flag, so that receiving costs no look at the clock.
  private var hasReceived = false
  private var lastReceived: ContinuousClock.Instant
  private var pingSent: ContinuousClock.Instant?
  private var idleSince: ContinuousClock.Instant?
  private var drainBegan: ContinuousClock.Instant?
  private var lastPing: ContinuousClock.Instant?
  private var strikes = 0

  /// - Parameter jitter: in -1...1; moves the maximum age by up to a tenth, so that connections that began together do
  ///   not end together.
  package init(limits: HTTP2Limits, now: ContinuousClock.Instant, jitter: Double) {
    self.limits = limits
    begin = now
    lastReceived = now
    maximumAge = limits.maximumConnectionAge.map { $0 + $0 * (jitter / 10) }
  }

  package mutating func received() { hasReceived = true }

  /// The peer's preface and SETTINGS have come.
  package mutating func greeted() { hasGreeted = true }

  /// DATA or HEADERS went or came: pings beside them are no nuisance.
  package mutating func exchanged() {
    strikes = 0
    lastPing = nil
  }

  /// - Returns: false when it was one too many: GOAWAY ENHANCE_YOUR_CALM "too_many_pings".
  package mutating func receivedPing(at now: ContinuousClock.Instant) -> Bool {
    if let lastPing, now - lastPing < limits.minimumPingInterval { strikes += 1 }
    lastPing = now
    return strikes <= limits.maximumPingStrikes
  }

  /// What is due.
  package mutating func check(at now: ContinuousClock.Instant, openStreams: Int) -> Action? {
    if hasReceived {
      hasReceived = false
      lastReceived = now
      pingSent = nil
    }
    idleSince = openStreams > 0 ? nil : idleSince ?? now
    if !hasGreeted, now - begin >= limits.handshakeTimeout { return .cut("no HTTP/2 preface in time") }
    if let pingSent {
      if now - pingSent >= limits.keepaliveTimeout { return .cut("no answer to PING") }
    } else if now - lastReceived >= limits.keepaliveInterval {
      pingSent = now
      return .ping
    }
    if let drainBegan { return now - drainBegan >= limits.drainGrace ? .cut("the grace of its age has passed") : nil }
    let isOld = maximumAge.map { now - begin >= $0 } ?? false
    let isIdle = idleSince.map { now - $0 >= limits.idleTimeout } ?? false
    guard isOld || isIdle else { return nil }
    drainBegan = now
    return .drain
  }
}
