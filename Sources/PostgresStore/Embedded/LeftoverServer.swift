// A server that an espd before us left behind: the death signal normally ends it, but nothing is taken on trust.
import Glibc
import Logging

/// Ends whatever still runs on a data directory, and then removes its `postmaster.pid`.
///
/// That file alone proves nothing: its process may be gone, or be another program by now. And removing it while a
/// process of the old server still writes would let a second one destroy the data, so we look for processes instead:
/// every process of a PostgreSQL server has the data directory as its working directory.
struct LeftoverServer {
  private static let patience: Duration = .seconds(60)

  private let data: String
  private let logger: Logger

  init(data: String, logger: Logger) {
    self.data = data
    self.logger = logger
  }

  func clear() throws(EmbeddedPostgresError) {
    let pidFile = data + "/postmaster.pid"
    let postmaster = FileSystem.contents(of: pidFile).flatMap { Int32($0.prefix { !$0.isNewline }) }
    if let postmaster, isOurs(postmaster) {
      logger.warning("a database server of an earlier espd still runs; stopping it", metadata: ["pid": "\(postmaster)"])
      // SIGINT: fast shutdown. SIGQUIT: at once; recovery follows at the start.
      if !end([postmaster], by: SIGINT), !end([postmaster], by: SIGQUIT) { throw stuck([postmaster]) }
    }
    // Children of a postmaster that was killed end by themselves when they next look.
    let orphans = processes()
    if !orphans.isEmpty, !end(orphans, by: SIGTERM) { throw stuck(orphans) }
    FileSystem.remove(pidFile)
  }

  private func end(_ processes: [Int32], by signal: Int32) -> Bool {
    for process in processes { kill(process, signal) }
    let giveUp = ContinuousClock.now + Self.patience
    while processes.contains(where: isOurs) {
      guard .now < giveUp else { return false }
      usleep(20_000)
    }
    return true
  }

  private func processes() -> [Int32] {
    FileSystem.names(in: "/proc").compactMap { Int32($0) }.filter(isOurs)
  }

  private func isOurs(_ process: Int32) -> Bool {
    guard FileSystem.linkTarget("/proc/\(process)/cwd") == data,
          let program = FileSystem.linkTarget("/proc/\(process)/exe") else { return false }
    // After an upgrade of the package: "/usr/lib/postgresql/15/bin/postgres (deleted)".
    return program.hasSuffix("/postgres") || program.hasSuffix("/postgres (deleted)")
  }

  private func stuck(_ processes: [Int32]) -> EmbeddedPostgresError {
    .failed("Processes \(processes.map(String.init).joined(separator: ", ")) of an earlier database server on \(data) "
      + "do not end. Stop them, then start espd again.")
  }
}
