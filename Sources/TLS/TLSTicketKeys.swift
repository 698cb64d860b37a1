// The keys that seal session tickets (RFC 5077): made at random, never stored, replaced every hour.
internal import HTTPCore
internal import Synchronization

/// The keys of one context. A ticket holds the verified client certificate, so a context with another authority must
/// not open the tickets of the one before: keys are never handed on.
final class TLSTicketKeys: Sendable {
  /// Hour after which a new key seals; the one before still opens. A ticket is good for one hour (`TLSContext`), so
  /// none outlives its key, and a key that leaks opens the tickets of two hours.
  static let period = Duration.seconds(3600)

  struct Key {
    var name = [UInt8].random(16)
    var cipherKey = [UInt8].random(32)
    var macKey = [UInt8].random(32)
  }

  private struct State {
    var current = Key()
    var previous: Key?
    var madeAt = ContinuousClock.now
  }

  private let state = Mutex(State())

  /// The key that seals now.
  func sealing() -> Key {
    state.withLock { state in
      if ContinuousClock.now - state.madeAt >= Self.period { Self.rotate(&state) }
      return state.current
    }
  }

  /// The key of this name, and whether its ticket should be sealed anew; nil: unknown, or too old.
  func opening(_ name: Span<UInt8>) -> (key: Key, isOld: Bool)? {
    state.withLock { state in
      if ContinuousClock.now - state.madeAt >= Self.period { Self.rotate(&state) }
      if state.current.name.span.equals(name) { return (state.current, false) }
      guard let previous = state.previous, previous.name.span.equals(name) else { return nil }
      return (previous, true)
    }
  }

  func rotate() { state.withLock { Self.rotate(&$0) } }

  private static func rotate(_ state: inout State) {
    // After two periods without a handshake both keys are too old.
    let isIdle = ContinuousClock.now - state.madeAt >= period * 2
    state = State(current: Key(), previous: isIdle ? nil : state.current, madeAt: .now)
  }
}
