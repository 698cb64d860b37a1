// The limits that an operator tunes; all others are constants beside the code that keeps them.
import HTTP2
import HTTPCore
import HTTPServer
import RPC
import Services

/// Limits by setting. ARCHITECTURE.md 5 says what a client sees beyond each.
struct LimitSettings: Sendable {
  /// What the process holds for its clients, MiB.
  var memoryBudgetMiB: Int
  var maximumConnections: Int
  /// A connection.
  var maximumStreams: Int
  var maximumMessageMiB: Int
  var idleTimeoutSeconds: Int
  var handshakeTimeoutSeconds: Int
  var heartbeatSeconds: Int

  /// - Parameter number: reads a whole number within a range; nil when the setting is not there.
  /// - Throws: `SettingsError` that names the key.
  init(eventLoops: Int, _ number: (SettingKey, ClosedRange<Int>) throws -> Int?) throws {
    memoryBudgetMiB = try number(.memoryBudgetMiB, (ByteBudget.minimumBytes >> 20)...1_048_576)
      ?? ByteBudget.defaultBytes >> 20
    maximumConnections = try number(.maxConnections, 1...1_000_000) ?? 10_000
    maximumStreams = try number(.maxStreams, 1...100_000) ?? 1000
    maximumMessageMiB = try number(.maxMessageMiB, 1...64) ?? 4
    idleTimeoutSeconds = try number(.idleTimeoutSeconds, 1...604_800) ?? 1800
    handshakeTimeoutSeconds = try number(.handshakeTimeoutSeconds, 1...3600) ?? 10
    heartbeatSeconds = try number(.heartbeatSeconds, 1...3600) ?? 30
    // An eighth must take the largest message twice, and what each loop keeps in reserve.
    let least = max(16 * maximumMessageMiB, 4 * eventLoops)
    guard memoryBudgetMiB >= least else {
      throw SettingsError("memory_budget_mib is \(memoryBudgetMiB); at least \(least) is needed: 16 times "
        + "max_message_mib and 4 times event_loops")
    }
  }

  var budget: ByteBudget { ByteBudget(limitBytes: memoryBudgetMiB << 20) }

  var server: HTTPServerLimits {
    var limits = HTTPServerLimits()
    limits.maximumConnections = maximumConnections
    limits.detectionTimeout = .seconds(handshakeTimeoutSeconds)
    limits.http2.maximumConcurrentStreams = UInt32(maximumStreams)
    limits.http2.maximumRunningExchanges = maximumStreams
    limits.http2.idleTimeout = .seconds(idleTimeoutSeconds)
    limits.http2.handshakeTimeout = .seconds(handshakeTimeoutSeconds)
    return limits
  }

  var streams: IngestStreamLimits {
    var limits = IngestStreamLimits()
    limits.heartbeatInterval = .seconds(heartbeatSeconds)
    return limits
  }

  var rpc: RPCLimits {
    var limits = RPCLimits()
    limits.maximumMessageBytes = maximumMessageMiB << 20
    return limits
  }

  var description: [(name: String, value: String)] {
    [
      (SettingKey.memoryBudgetMiB, memoryBudgetMiB), (.maxConnections, maximumConnections),
      (.maxStreams, maximumStreams), (.maxMessageMiB, maximumMessageMiB), (.idleTimeoutSeconds, idleTimeoutSeconds),
      (.handshakeTimeoutSeconds, handshakeTimeoutSeconds), (.heartbeatSeconds, heartbeatSeconds),
    ].map { ($0.0.name, "\($0.1)") }
  }
}
