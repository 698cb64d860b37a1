// How much of one connection is read in a turn of its event loop, so that what is dear to serve keeps nobody waiting.

/// Bytes that a connection may hand over at once. Cheap bytes come in large pieces; a connection whose pieces take long
/// (calls of a few bytes, heads, claims) gets small ones, and the loop's other connections their turns between.
/// Confined to the connection's loop.
package final class ReadAllowance {
  /// All that is read at once; more gained nothing.
  package static let maximumBytes = 256 << 10
  /// Fewer bytes a turn would cost more in system calls than they take to serve.
  package static let minimumBytes = 1 << 10
  /// What a connection may take of its loop before the next one's turn, CPU time: others wait so long at most behind
  /// each that floods. Beyond: half as much is read.
  package static let turnTime = Duration.microseconds(500)
  /// After so long within the turn it is doubled again: who floods now and then gets one long turn in so much time.
  package static let recoveryTime = Duration.seconds(1)
  /// Smaller reads of a connection that may have more are not measured: the clock is a system call.
  private static let measuredBytes = 4 << 10

  /// A power of two.
  package private(set) var byteCount = ReadAllowance.maximumBytes
  private let clock: @Sendable () -> Duration
  private var begin: Duration?
  private var changed = ContinuousClock.now

  /// - Parameter clock: CPU time of the calling thread, so that nobody is blamed for what other threads take.
  package init(clock: @escaping @Sendable () -> Duration) { self.clock = clock }

  /// Bytes have come, and are about to be served.
  package func began(_ byteCount: Int) {
    guard begin == nil, byteCount >= min(Self.measuredBytes, self.byteCount) else { return }
    begin = clock()
  }

  /// What came has been served, and the answers written.
  package func ended(at now: ContinuousClock.Instant = .now) {
    guard let begin else { return }
    self.begin = nil
    let time = clock() - begin
    if time > Self.turnTime, byteCount > Self.minimumBytes {
      byteCount /= 2
      changed = now
    } else if time < Self.turnTime / 2, byteCount < Self.maximumBytes, now - changed >= Self.recoveryTime {
      byteCount *= 2
      changed = now
    }
  }
}
