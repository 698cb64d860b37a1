// Decides when a connection has waited too long for its client. Pure: clock and deeds are HTTP1Handler's.

/// What one connection waits for, looked at again and again.
package struct HTTP1Watch {
  package enum Waiting: Equatable {
    /// The first request.
    case firstHead
    /// Another request.
    case nextHead
    /// More of a request.
    case body
    /// The client is to take what was sent.
    case taking
    /// The client is to close: its last answer has left.
    case close
    /// The method; its deadline is not ours.
    case method
  }

  private let limits: HTTP1Limits
  private var waiting = Waiting.firstHead
  private var since: ContinuousClock.Instant
  /// Since the last look. A flag, so that nothing but a look costs a look at the clock.
  private var hasHappened = false

  package init(limits: HTTP1Limits, now: ContinuousClock.Instant) {
    self.limits = limits
    since = now
  }

  /// Something came or left.
  package mutating func happened() { hasHappened = true }

  /// - Returns: whether the client has had its time.
  package mutating func isOverdue(_ waiting: Waiting, at now: ContinuousClock.Instant) -> Bool {
    if hasHappened || waiting != self.waiting {
      hasHappened = false
      self.waiting = waiting
      since = now
    }
    let limit: Duration? = switch waiting {
    case .firstHead: limits.headTimeout
    case .nextHead: limits.idleTimeout
    case .body: limits.bodyTimeout
    case .taking: limits.stallTimeout
    case .close: limits.lingerTimeout
    case .method: nil
    }
    return limit.map { now - since >= $0 } ?? false
  }
}
