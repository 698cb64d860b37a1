// Wires the modules together: database, pipeline, services, listener; and takes them down in the reverse order.
import Contracts
import Foundation
import HTTPCore
import HTTPServer
import Logging
import NIOCore
import NIOPosix
import Pipeline
import PostgresStore
import RPC
import Services
import TLS
import Telemetry

/// A running server.
struct Server {
  /// How long the pipeline may take to write what it has accepted, after the clients have gone.
  private static let pipelineDeadline = Duration.seconds(10)

  private let settings: Settings
  private let logger: Logger
  private let database: Database
  private let pipeline: IngestPipeline
  private let reader: ReadingReader
  private let group: MultiThreadedEventLoopGroup
  private let health: HealthStatuses
  /// nil without TLS.
  private let credentials: TLSCredentials?
  private let listener: HTTPServer

  /// Where clients reach it, for people and for scripts that look for `listening on <address>`.
  var addresses: String {
    let wanted = [settings.listen, settings.tls?.listen].compactMap(\.self)
    let all = zip(wanted, listener.addresses).map { address, inUse in
      var address = address
      address.port = inUse.port ?? 0
      return "\(address)"
    }
    return all.count == 1 ? all[0] : "\(all[0]) and TLS on \(all[1])"
  }

  /// Starts everything in order; what has been started is stopped again when a later part fails.
  static func start(_ settings: Settings, logger: Logger) async throws -> Server {
    // First: a wrong file is said at once.
    let credentials = try settings.tls.map { tls in
      try TLSCredentials(tls.files, protocols: TLSSettings.protocols, logger: logger)
    }
    if let tls = settings.tls, tls.files.clientAuthorities == nil, !tls.listen.isLoopback {
      logger.warning("whoever can reach this address may send and read: tls_client_ca would ask for a certificate",
                     metadata: ["address": "\(tls.listen)"])
    }
    let database = try await Database.start(settings, logger: logger)
    do {
      try await Database.onOwnThread { _ = try Migrator(database.location, logger: logger).up() }
      return try await Server(settings, credentials, database, logger)
    } catch {
      await database.stop()
      throw error
    }
  }

  private init(_ settings: Settings, _ credentials: TLSCredentials?, _ database: Database,
               _ logger: Logger) async throws {
    self.settings = settings
    self.credentials = credentials
    self.logger = logger
    self.database = database
    let location = database.location
    let budget = settings.limits.budget
    let pipeline = IngestPipeline(budget: budget, logger: logger)
    let reader = ReadingReader(location, logger: logger)
    let group = MultiThreadedEventLoopGroup(numberOfThreads: settings.eventLoops)
    let health = HealthStatuses(services: DescriptorSet.embedded.serviceNames)
    let rules = ReadingRules(maximumAge: settings.maximumReadingAge)
    let telemetry = TelemetryService(pipeline: pipeline, reader: reader, rules: rules, group: group)
    let deadLetters = DeadLetterService(store: DeadLetterStore(location, logger: logger), rules: rules)
    let router = RPCRouter(
      telemetry.methods + deadLetters.methods + HealthService(statuses: health).methods
        + ReflectionService().bothVersions)
    do {
      let listeners = Self.listeners(settings, credentials, logger)
      listener = try await HTTPServer(listeners: listeners, group: group, limits: settings.limits.server,
                                      budget: budget, logger: logger) { loop in
        let calls = RPCHandler(eventLoop: loop, router: router,
                               statusFields: StatusFields(encodeDetails: StatusDetails.encode),
                               limits: settings.limits.rpc, budget: budget)
        return settings.corsOrigins.isEmpty ? calls
          : CORSHandler(CORSPolicy(origins: settings.corsOrigins), before: calls)
      }
    } catch {
      try await group.shutdownGracefully()
      throw error
    }
    pipeline.start { ReadingWriter(location, logger: logger) }
    self.pipeline = pipeline
    self.reader = reader
    self.group = group
    self.health = health
    health.setAll(.serving)
  }

  private static func listeners(_ settings: Settings, _ credentials: TLSCredentials?,
                                _ logger: Logger) -> [HTTPListener] {
    let plain = HTTPListener(host: settings.listen.host, port: settings.listen.port)
    guard let tls = settings.tls, let credentials else { return [plain] }
    var limits = TLSLimits()
    limits.handshakeTimeout = .seconds(Int64(settings.limits.handshakeTimeoutSeconds))
    return [plain, HTTPListener(host: tls.listen.host, port: tls.listen.port) { [limits] channel in
      try channel.pipeline.syncOperations.addHandler(TLSHandler(credentials.current, limits: limits, logger: logger))
    }]
  }

  /// Reads the certificate again, for connections that begin from now on; the others keep theirs.
  func reload() {
    guard let credentials else { return logger.notice("nothing to read again: TLS is off") }
    credentials.reload()
  }

  /// NOT_SERVING, drain, write what was accepted, stop the database. Nothing acknowledged is lost, however it ends.
  func stop() async {
    logger.notice("shutting down")
    health.shutDown()
    await listener.drain(deadline: settings.drainTimeout)
    do {
      try await Database.onOwnThread { [pipeline] in pipeline.stop(deadline: Self.pipelineDeadline) }
      try await group.shutdownGracefully()
    } catch {
      logger.error("shutdown was not clean", metadata: ["error": "\(error)"])
    }
    await database.stop()
  }
}
