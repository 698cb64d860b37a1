// Wires the modules together: database, pipeline, services, listener; and takes them down in the reverse order.
import Contracts
import Foundation
import HTTPCore
import HTTPServer
import Journal
import Live
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
  /// How long the pipeline may take to write what waits, after the clients have gone; the rest stays in the journal.
  private static let pipelineDeadline = Duration.seconds(10)

  /// How often the journals are looked at: balancers ask for the health every few seconds.
  private static let journalCheckInterval = Duration.seconds(1)

  private let settings: Settings
  private let logger: Logger
  private let database: Database
  private let pipeline: IngestPipeline
  private let reader: ReadingReader
  private let group: MultiThreadedEventLoopGroup
  private let health: HealthStatuses
  private let watch: Task<Void, Never>
  private let live: LiveFeed
  /// Deletes what has expired, once an hour.
  private let sweeping: Task<Void, Never>
  private let registry: CallRegistry
  /// nil without TLS.
  private let credentials: TLSCredentials?
  private let listener: HTTPServer

  /// Where clients reach it, for people and for scripts that look for `listening on <address>`.
  var addresses: String {
    let all = Self.addresses(settings, listener)
    return all.count == 1 ? "\(all[0])" : "\(all[0]) and TLS on \(all[1])"
  }

  /// Starts everything in order; what has been started is stopped again when a later part fails.
  static func start(_ settings: Settings, logger: Logger) async throws -> Server {
    // First: a wrong file is said at once.
    let credentials = try settings.tls.map { tls in
      try TLSCredentials(tls.files, protocols: TLSSettings.protocols, logger: logger)
    }
    if let tls = settings.tls, tls.files.clientAuthorities == nil, !tls.listen.isLoopback {
      logger.warning("who can reach this address may send, read and end streams: tls_client_ca asks for certificates",
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
    let rules = ReadingRules(maximumAge: settings.maximumReadingAge)
    let live = LiveFeed(history: ReadingHistory(location, logger: logger), logger: logger)
    let pipeline = try await Self.startPipeline(settings, rules, location, live, budget, logger)
    let reader = ReadingReader(location, logger: logger)
    let group = MultiThreadedEventLoopGroup(numberOfThreads: settings.eventLoops)
    let names = DescriptorSet.embedded.serviceNames
    let health = HealthStatuses(
      services: settings.reflection ? names : names.filter { !$0.hasPrefix("grpc.reflection.") })
    let telemetry = TelemetryService(pipeline: pipeline, reader: reader, live: live, rules: rules, group: group,
                                     streamLimits: settings.limits.streams)
    let deadLetters = DeadLetterService(store: DeadLetterStore(location, logger: logger), rules: rules)
    let (registry, facts) = (CallRegistry(), ServerFacts())
    let router = RPCRouter(
      telemetry.methods + deadLetters.methods + AdminService(registry: registry, facts: facts).methods
        + HealthService(statuses: health).methods + (settings.reflection ? ReflectionService().bothVersions : []))
    do {
      let listeners = Self.listeners(settings, credentials, logger)
      listener = try await HTTPServer(listeners: listeners, group: group, limits: settings.limits.server,
                                      budget: budget, logger: logger) { loop in
        let calls = RPCHandler(eventLoop: loop, router: router,
                               statusFields: StatusFields(encodeDetails: StatusDetails.encode),
                               limits: settings.limits.rpc, budget: budget, registry: registry)
        return settings.corsOrigins.isEmpty ? calls
          : CORSHandler(CORSPolicy(origins: settings.corsOrigins), before: calls)
      }
    } catch {
      try await Database.onOwnThread { pipeline.stop(deadline: .zero) }
      try await group.shutdownGracefully()
      throw error
    }
    let info = ESPV1.GetServerInfoResponse(
      settings, addresses: Self.addresses(settings, listener), service: telemetry)
    facts.publish(info, ingest: { IngestFacts(pipeline, telemetry.latencies) }, budget: budget,
                  connectionCount: { [listener] in await listener.openConnections() })
    self.pipeline = pipeline
    self.reader = reader
    self.group = group
    self.health = health
    self.live = live
    let sweep = CursorSweep(location, expiry: settings.producerExpiry, logger: logger)
    sweeping = Task { await sweep.run { pipeline.release($0) } }
    self.registry = registry
    health.setAll(.serving)
    watch = Self.watch(pipeline, health)
  }

  /// A journal whose disk has failed takes nothing until the next start: whoever asks for the health is told.
  private static func watch(_ pipeline: IngestPipeline, _ health: HealthStatuses) -> Task<Void, Never> {
    Task {
      while pipeline.canTake {
        // Ends early when the server stops.
        guard (try? await Task.sleep(for: journalCheckInterval)) != nil else { return }
      }
      health.setAll(.notServing)
    }
  }

  /// Opens the journals, takes over what an earlier run left in them, and begins to write it to the database.
  private static func startPipeline(_ settings: Settings, _ rules: ReadingRules, _ location: PostgresLocation,
                                    _ feed: LiveFeed, _ budget: ByteBudget,
                                    _ logger: Logger) async throws -> IngestPipeline {
    try await Database.onOwnThread {
      let directory = settings.dataDirectory + "/journal"
      let live = try Journal(directory: directory + "/live", limits: settings.journal.live, logger: logger)
      let historical = try Journal(directory: directory + "/backfill", limits: settings.journal.historical,
                                   logger: logger)
      var limits = IngestPipeline.Limits()
      // Both queues together take half of what may be held before streams have to wait.
      limits.maximumQueuedBytes = min(limits.maximumQueuedBytes, budget.streamMarkBytes / 4)
      let pipeline = IngestPipeline(live: live, historical: historical,
                                    coding: TelemetryService.journalCoding(rules: rules), observer: feed,
                                    limits: limits, budget: budget, logger: logger)
      try pipeline.start { ReadingWriter(location, logger: logger) }
      return pipeline
    }
  }

  /// As they are in use: with the chosen port where 0 was asked for. The one with TLS comes last.
  private static func addresses(_ settings: Settings, _ listener: HTTPServer) -> [ListenAddress] {
    zip([settings.listen, settings.tls?.listen].compactMap(\.self), listener.addresses).map { address, inUse in
      var address = address
      address.port = inUse.port ?? 0
      return address
    }
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

  /// NOT_SERVING, drain, write what waits, stop the database. Nothing acknowledged is lost, however it ends.
  func stop() async {
    logger.notice("shutting down")
    watch.cancel()
    health.shutDown()
    live.shutDown()
    sweeping.cancel()
    await listener.drain(deadline: settings.drainTimeout)
    do {
      try await Database.onOwnThread { [pipeline] in pipeline.stop(deadline: Self.pipelineDeadline) }
      registry.close()
      try await group.shutdownGracefully()
    } catch {
      logger.error("shutdown was not clean", metadata: ["error": "\(error)"])
    }
    await database.stop()
  }
}
