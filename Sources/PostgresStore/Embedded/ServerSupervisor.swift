// Keeps one server process running on a thread of its own.
import Foundation
import Logging

/// Starts the server, starts it again when it dies, until it is told to stop.
///
/// The thread lives as long as the server: the server's death signal hangs on the thread that started it, not on the
/// process (prctl(2), PR_SET_PDEATHSIG).
final class ServerSupervisor: @unchecked Sendable {
  // @unchecked because every access to the state is made under the condition's lock.
  private let makeServer: @Sendable () throws(EmbeddedPostgresError) -> ChildProcess
  private let logger: Logger
  private let condition = NSCondition()
  private let stopSignal = StopSignal()
  private var child: ChildProcess?
  private var hasEnded = false
  private var exits = 0

  init(logger: Logger, _ makeServer: @escaping @Sendable () throws(EmbeddedPostgresError) -> ChildProcess) {
    self.makeServer = makeServer
    self.logger = logger
  }

  func start() {
    DetachedThread.start("espd-postgres") { self.run() }
  }

  /// How often the server has ended without being told to.
  var unexpectedExits: Int { condition.withLock { exits } }

  var processID: Int32? { condition.withLock { child?.processID } }

  /// Fast shutdown; at once (SIGQUIT) after 30 s; SIGKILL after 10 more. Returns when the process is gone.
  func stop() {
    stopSignal.signal()
    for (signal, patience) in [(SIGINT, 30.0), (SIGQUIT, 10), (SIGKILL, 10)] {
      let hasEnded = condition.withLock {
        child?.send(signal)
        let limit = Date(timeIntervalSinceNow: patience)
        while !self.hasEnded, condition.wait(until: limit) {}
        return self.hasEnded
      }
      if hasEnded { return }
      logger.warning("the database server does not stop", metadata: ["signal": "\(signal)", "seconds": "\(patience)"])
    }
  }

  private func run() {
    var backoff = Backoff()
    while !stopSignal.isSignalled {
      let began = ContinuousClock.now
      let exit = runOnce()
      guard !stopSignal.isSignalled else { break }
      condition.withLock { exits += 1 }
      logger.error("the database server ended; starting it again", metadata: ["reason": "\(exit)"])
      if began.duration(to: .now) > .seconds(60) { backoff.reset() }
      stopSignal.sleep(for: backoff.take())
    }
    condition.withLock {
      hasEnded = true
      condition.broadcast()
    }
  }

  /// Runs one server to its end; says how it ended.
  private func runOnce() -> String {
    do throws(EmbeddedPostgresError) {
      let child = try makeServer()
      condition.withLock {
        self.child = child
        // Told to stop while it was being started.
        if stopSignal.isSignalled { child.send(SIGINT) }
      }
      child.waitForExit()
      return condition.withLock {
        self.child = nil
        return child.reap().description
      }
    } catch {
      return error.description
    }
  }
}
