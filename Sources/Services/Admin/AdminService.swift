// The admin service: one file an RPC, and here what they share.
package import Contracts
package import RPC
internal import Synchronization

/// Shows operators the running server and ends streams for them.
package struct AdminService: AdminServiceProtocol {
  let registry: CallRegistry
  let facts: ServerFacts

  /// - Parameter registry: the one that the server's RPCHandlers were made with.
  package init(registry: CallRegistry, facts: ServerFacts) {
    self.registry = registry
    self.facts = facts
  }
}

/// What only the wiring knows of a server. Any thread.
package final class ServerFacts: Sendable {
  private struct Known: Sendable {
    let info: ESPV1.GetServerInfoResponse
    let begin: ContinuousClock.Instant
    let connectionCount: @Sendable () async -> Int
    let ingest: @Sendable () -> IngestFacts
  }

  private let known = Mutex<Known?>(nil)

  package init() {}

  /// The server listens. Its clock begins here.
  /// - Parameters:
  ///   - info: all that stays as it is while the server runs.
  ///   - ingest: says what became of readings.
  ///   - connectionCount: asks how many connections are open.
  package func publish(_ info: ESPV1.GetServerInfoResponse, ingest: @escaping @Sendable () -> IngestFacts,
                       connectionCount: @escaping @Sendable () async -> Int) {
    var info = info
    info.startTime = GoogleProtobuf.Timestamp(microseconds: WallClock.now)
    let facts = Known(info: info, begin: .now, connectionCount: connectionCount, ingest: ingest)
    known.withLock { $0 = facts }
  }

  /// The facts of this moment; nil: the server is only starting.
  func now() async -> ESPV1.GetServerInfoResponse? {
    guard let known = known.withLock({ $0 }) else { return nil }
    var info = known.info
    info.uptime = GoogleProtobuf.Duration(.now - known.begin)
    known.ingest().write(into: &info)
    info.openConnections = UInt32(clamping: await known.connectionCount())
    return info
  }
}
