// One reader: a thread and, from its first query on, a connection. Fence file: names its executor.
import Logging

/// Runs blocking reads one at a time on a thread of its own. A lost connection is made again; the read is tried twice.
actor ReaderLane {
  /// How long to wait for the server to have a connection free: the processes of connections that were just closed
  /// take a moment to end.
  private static let slotPatience: Duration = .seconds(2)

  private let executor = ThreadExecutor(name: "espd-reader")
  private let location: PostgresLocation
  private let logger: Logger
  private var connection: PostgresConnection?

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  init(_ location: PostgresLocation, logger: Logger) {
    self.location = location
    self.logger = logger
  }

  /// Runs `read` with a deadline. When the task is cancelled or the deadline passes the server is told to drop the
  /// query.
  nonisolated func run<Value: Sendable>(
    deadline: ContinuousClock.Instant, _ read: @Sendable (PostgresConnection) throws(PostgresError) -> Value
  ) async throws(PostgresError) -> Value {
    let cancellation = try StopSignal(forOneUse: ())
    let result = await withTaskCancellationHandler {
      await attempt(deadline, cancellation, read)
    } onCancel: {
      cancellation.signal()
    }
    return try result.get()
  }

  private func attempt<Value: Sendable>(
    _ deadline: ContinuousClock.Instant, _ cancellation: StopSignal,
    _ read: @Sendable (PostgresConnection) throws(PostgresError) -> Value
  ) -> Result<Value, PostgresError> {
    let isReused = connection?.isBroken == false
    let first = runOnce(deadline, cancellation, read)
    // A connection that was idle may have died unseen: reading again is harmless.
    guard isReused, case .failure(let error) = first, error.kind == .connectionLost else { return first }
    return runOnce(deadline, cancellation, read)
  }

  private func runOnce<Value: Sendable>(
    _ deadline: ContinuousClock.Instant, _ cancellation: StopSignal,
    _ read: @Sendable (PostgresConnection) throws(PostgresError) -> Value
  ) -> Result<Value, PostgresError> {
    do throws(PostgresError) {
      let connection = try connected(deadline, cancellation)
      connection.deadline = deadline
      connection.cancellation = cancellation
      let value = try read(connection)
      connection.deadline = nil
      connection.cancellation = nil
      return .success(value)
    } catch {
      switch error.kind {
      case .connectionLost: connection = nil
      case .stopped, .timedOut:
        if connection?.cancelQuery() != true { connection = nil }
      case .data, .other: break
      }
      if error.kind == .other || error.kind == .data {
        logger.error("a read failed", metadata: ["error": "\(error)"])
      }
      return .failure(error)
    }
  }

  private func connected(_ deadline: ContinuousClock.Instant,
                         _ cancellation: StopSignal) throws(PostgresError) -> PostgresConnection {
    // A step that failed within a transaction leaves it open; the server rolls it back when the connection goes.
    if let connection, !connection.isBroken, !connection.isInTransaction { return connection }
    connection = nil
    let patience = ContinuousClock.now + Self.slotPatience
    var pause = Backoff()
    while true {
      do throws(PostgresError) {
        let limit = min(deadline, .now + PostgresConnection.connectTimeout)
        let fresh = try PostgresConnection(location, cancellation: cancellation, deadline: limit, logger: logger)
        connection = fresh
        return fresh
      } catch where error.sqlState == "53300" && .now < patience {
        cancellation.sleep(for: pause.take())
      }
    }
  }
}
