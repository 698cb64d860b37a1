// The memory that the process holds for its clients: counted, and bounded.
internal import Synchronization

/// One limit for the process, in two halves that never count the same byte. `windows` is what clients have been allowed
/// to send: windows beyond the first 64 KiB of a connection, and messages of which a part is here. `held` is what has
/// come and waits: decoded batches, requests that a method has not taken, answers that a client has not read.
///
/// Why nothing can stop for ever: a message that needs more room than its windows gets all of it in one step, from
/// `windows`, or none, so whatever has room can be finished. What is finished moves to `held`, which empties without
/// needing `windows`. Above three quarters of a half streams wait; unary calls, which can be refused, may use it all.
public final class ByteBudget: Sendable {
  public enum Half: Sendable, CaseIterable {
    case windows, held
  }

  /// Bytes of the setting's default: some two seconds of the fastest ingest, and 25 whole messages of 4 MiB on their
  /// way at once.
  public static let defaultBytes = 256 << 20
  /// The least that lets the largest message pass beside full windows: an eighth is 8 MiB.
  public static let minimumBytes = 64 << 20

  public let limitBytes: Int
  private let windows = Atomic(0)
  private let held = Atomic(0)
  private let hasWaiters = Atomic(false)
  private let waiters = Mutex<[@Sendable () -> Void]>([])

  public init(limitBytes: Int = ByteBudget.defaultBytes) {
    self.limitBytes = limitBytes
  }

  /// Bytes of one half.
  public var halfBytes: Int { limitBytes / 2 }
  /// Beyond it streams wait: three quarters of a half.
  public var streamMarkBytes: Int { halfBytes / 4 * 3 }
  /// What windows that stand open may take, so that messages find room beside them: half of a half.
  public var openWindowMarkBytes: Int { halfBytes / 2 }

  public func usedBytes(_ half: Half) -> Int { counter(half) { $0.load(ordering: .relaxed) } }

  /// Whether streams have to wait, of what has come.
  public var mustStreamsWait: Bool { usedBytes(.held) >= streamMarkBytes }
  /// Whether calls have to be refused.
  public var isExhausted: Bool { usedBytes(.held) >= halfBytes }

  /// Counts bytes that are there already, whatever the limit says.
  public func take(_ byteCount: Int, of half: Half) {
    counter(half) { _ = $0.add(byteCount, ordering: .sequentiallyConsistent) }
  }

  /// Counts bytes if not more than `mark` are used then.
  public func reserve(_ byteCount: Int, of half: Half, upTo mark: Int) -> Bool {
    counter(half) { used in
      var current = used.load(ordering: .relaxed)
      while current + byteCount <= mark {
        let result = used.weakCompareExchange(expected: current, desired: current + byteCount,
                                              ordering: .sequentiallyConsistent)
        if result.exchanged { return true }
        current = result.original
      }
      return false
    }
  }

  /// Bytes are gone; wakes who waits once there is room below the mark of streams.
  public func release(_ byteCount: Int, of half: Half) {
    let left = counter(half) { $0.subtract(byteCount, ordering: .sequentiallyConsistent).newValue }
    precondition(left >= 0, "more bytes given back than were taken")
    // Sequentially consistent, as is the order in `whenReleased`: whoever comes second sees the other.
    if left < streamMarkBytes, hasWaiters.load(ordering: .sequentiallyConsistent) { wake() }
  }

  /// Whether somebody waits: then what is not needed is given back at once.
  public var isAwaited: Bool { hasWaiters.load(ordering: .relaxed) }

  /// Calls `body` once, on any thread, after the next release that leaves room below the mark of streams.
  ///
  /// The caller looks again whether it must wait after this returns: a release may have come just before.
  public func whenReleased(_ body: @escaping @Sendable () -> Void) {
    waiters.withLock { waiters in
      waiters.append(body)
      hasWaiters.store(true, ordering: .sequentiallyConsistent)
    }
  }

  private func wake() {
    let bodies = waiters.withLock { waiters in
      hasWaiters.store(false, ordering: .sequentiallyConsistent)
      let bodies = waiters
      waiters = []
      return bodies
    }
    for body in bodies { body() }
  }

  private func counter<Result>(_ half: Half, _ body: (borrowing Atomic<Int>) -> Result) -> Result {
    switch half {
    case .windows: body(windows)
    case .held: body(held)
    }
  }
}
