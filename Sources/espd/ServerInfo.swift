// What GetServerInfo says of this process: settings and limits as the contract names them.
import Contracts
import Foundation
import HTTP2
import HTTPCore
import HTTPServer
import RPC
import Services
import TLS

extension ESPV1.GetServerInfoResponse {
  /// - Parameter addresses: in use, as text, each with whether it has TLS.
  init(_ settings: Settings, addresses: [ListenAddress], service: TelemetryService) {
    self.init()
    version = Espd.version
    processID = UInt32(ProcessInfo.processInfo.processIdentifier)
    listeners = addresses.enumerated().map { index, address in
      var listener = ESPV1.Listener()
      listener.address = "\(address)"
      // The plain one comes first.
      listener.tls = index > 0
      listener.clientCertificateRequired = index > 0 && settings.tls?.files.clientAuthorities != nil
      return listener
    }
    limits = Self.limits(settings, service)
    keepalive = Self.keepalive(settings.limits.server.http2, service.streamLimits)
    ackLevels = [.accepted, .durable, .committed]
    storage = settings.databaseURL == nil ? .embeddedPostgresql : .externalPostgresql
  }

  private static func limits(_ settings: Settings, _ service: TelemetryService) -> ESPV1.ServerLimits {
    let (http, rpc) = (settings.limits.server, settings.limits.rpc)
    var limits = ESPV1.ServerLimits()
    limits.maxMessageBytes = UInt32(rpc.maximumMessageBytes)
    limits.maxBatchReadings = UInt32(service.maximumBatchReadings)
    limits.maxPendingBatches = UInt32(service.streamLimits.maximumPendingBatches)
    limits.maxHeaderListBytes = http.http2.maximumHeaderListBytes
    limits.maxConcurrentCalls = http.http2.maximumConcurrentStreams
    limits.maxConnections = UInt32(http.maximumConnections)
    limits.streamWindowBytes = http.http2.streamWindowBytes
    limits.connectionWindowBytes = UInt32(http.http2.maximumConnectionWindowBytes)
    limits.maxReadingAge = GoogleProtobuf.Duration(settings.maximumReadingAge)
    limits.memoryBudgetBytes = UInt64(settings.limits.budget.limitBytes)
    return limits
  }

  private static func keepalive(_ limits: HTTP2Limits, _ streams: IngestStreamLimits) -> ESPV1.KeepalivePolicy {
    var policy = ESPV1.KeepalivePolicy()
    policy.minPingInterval = GoogleProtobuf.Duration(limits.minimumPingInterval)
    policy.maxPingStrikes = UInt32(limits.maximumPingStrikes)
    policy.pingAfter = GoogleProtobuf.Duration(limits.keepaliveInterval)
    policy.pingTimeout = GoogleProtobuf.Duration(limits.keepaliveTimeout)
    policy.idleTimeout = GoogleProtobuf.Duration(limits.idleTimeout)
    policy.maxConnectionAge = limits.maximumConnectionAge.map { GoogleProtobuf.Duration($0) }
    policy.drainGrace = GoogleProtobuf.Duration(limits.drainGrace)
    policy.heartbeatInterval = GoogleProtobuf.Duration(streams.heartbeatInterval)
    return policy
  }
}
