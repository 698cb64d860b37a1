// Waiting until the database is there again: when to try, and what the log says meanwhile.
import Logging

/// One stretch of time in which the database could not be used. Logs once when it begins, once for each new reason, and
/// once when it ends.
struct Outage {
  private let logger: Logger
  private var backoff = Backoff()
  private var began: ContinuousClock.Instant?
  private var loggedReason: String?

  init(logger: Logger) { self.logger = logger }

  /// Sleeps a little longer each time. Returns early when `stop` is signalled.
  mutating func wait(because error: PostgresError, _ stop: StopSignal) {
    if began == nil { began = .now }
    // A reason is told by its SQLSTATE; without one it is the connection that fails, in many wordings.
    if loggedReason != error.sqlState {
      loggedReason = error.sqlState
      logger.error("the database cannot be used; trying again until it can", metadata: ["error": "\(error)"])
    }
    stop.sleep(for: backoff.take())
  }

  mutating func end() {
    guard let began else { return }
    let seconds = began.duration(to: .now) / .seconds(1)
    logger.notice("the database is back", metadata: ["seconds": "\((seconds * 10).rounded() / 10)"])
    self.began = nil
    loggedReason = nil
    backoff.reset()
  }
}
