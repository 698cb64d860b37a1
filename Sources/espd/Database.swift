// The database that the settings name: our own child or somebody else's server.
import Foundation
import Logging
import PostgresStore

/// A database that answers.
struct Database: Sendable {
  let location: PostgresLocation
  private let embedded: EmbeddedPostgres?

  /// Starts the embedded database, or proves that the given one can be reached.
  static func start(_ settings: Settings, logger: Logger) async throws -> Database {
    try await Self.onOwnThread {
      if let url = settings.databaseURL {
        let location = try PostgresLocation(url)
        try location.checkReachable(logger: logger)
        return Database(location: location, embedded: nil)
      }
      let lock = try DataDirectoryLock(directory: settings.dataDirectory)
      let embedded = try EmbeddedPostgres(lock, logger: logger)
      return Database(location: embedded.location, embedded: embedded)
    }
  }

  /// Stops the embedded database; leaves any other one alone.
  func stop() async {
    guard let embedded else { return }
    // The body throws nothing.
    try? await Self.onOwnThread { embedded.stop() }
  }

  /// Starting and stopping a database blocks for seconds: not on a thread that others need.
  static func onOwnThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
      DetachedThread.start("database") { continuation.resume(with: Result(catching: body)) }
    }
  }
}
