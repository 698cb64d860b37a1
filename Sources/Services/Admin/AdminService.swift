// The admin service: one file an RPC, and here what they share.
package import Contracts
package import HTTPCore
internal import Protobuf
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
    let budget: ByteBudget
  }

  private let known = Mutex<Known?>(nil)

  package init() {}

  /// The server listens. Its clock begins here.
  /// - Parameters:
  ///   - info: all that stays as it is while the server runs.
  ///   - ingest: says what became of readings.
  ///   - budget: the memory of the process.
  ///   - connectionCount: asks how many connections are open.
  package func publish(_ info: ESPV1.GetServerInfoResponse, ingest: @escaping @Sendable () -> IngestFacts,
                       budget: ByteBudget, connectionCount: @escaping @Sendable () async -> Int) {
    var info = info
    info.startTime = GoogleProtobuf.Timestamp(microseconds: WallClock.now)
    let facts = Known(info: info, begin: .now, connectionCount: connectionCount, ingest: ingest,
                      budget: budget)
    known.withLock { $0 = facts }
  }

  /// Limits and their use at this moment; nil: the server is only starting.
  func quotas() async -> [ESPV1.Quota]? {
    guard let known = known.withLock({ $0 }) else { return nil }
    let count = await known.connectionCount()
    let connections = ESPV1.Quota.with {
      $0.subject = "connections"
      $0.used = UInt64(count)
      $0.limit = UInt64(known.info.limits?.maxConnections ?? 0)
    }
    let memory = ESPV1.Quota.with {
      $0.subject = "memory"
      $0.unit = "B"
      $0.used = UInt64(known.budget.usedBytes(.held))
      $0.limit = UInt64(known.budget.halfBytes)
    }
    return [connections, memory] + known.ingest().quotas
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
