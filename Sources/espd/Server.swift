// Wires the modules together: database, pipeline, services, listener; and takes them down in the reverse order.
import Contracts
import Foundation
import HTTP2
import Logging
import NIOCore
import NIOPosix
import Pipeline
import PostgresStore
import RPC
import Services
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
  private let listener: HTTP2Server

  var address: String { settings.address(port: listener.address.port ?? 0) }

  /// Starts everything in order; what has been started is stopped again when a later part fails.
  static func start(_ settings: Settings, logger: Logger) async throws -> Server {
    let database = try await Database.start(settings, logger: logger)
    do {
      try await Database.onOwnThread { _ = try Migrator(database.location, logger: logger).up() }
      return try await Server(settings, database, logger)
    } catch {
      await database.stop()
      throw error
    }
  }

  private init(_ settings: Settings, _ database: Database, _ logger: Logger) async throws {
    self.settings = settings
    self.logger = logger
    self.database = database
    let location = database.location
    let pipeline = IngestPipeline(logger: logger)
    let reader = ReadingReader(location, logger: logger)
    let group = MultiThreadedEventLoopGroup(numberOfThreads: settings.eventLoops)
    let health = HealthStatuses(services: DescriptorSet.embedded.serviceNames)
    let telemetry = TelemetryService(pipeline: pipeline, reader: reader,
                                     rules: ReadingRules(maximumAge: settings.maximumReadingAge), group: group)
    let router = RPCRouter(telemetry.methods + HealthService(statuses: health).methods + ReflectionV1Service().methods
      + ReflectionV1AlphaService().methods)
    do {
      listener = try await HTTP2Server(host: settings.host, port: settings.port, group: group, logger: logger) { loop in
        RPCHandler(eventLoop: loop, router: router, statusFields: StatusFields(encodeDetails: StatusDetails.encode))
      }
    } catch {
      try await group.shutdownGracefully()
      throw SettingsError("can't listen on \(settings.address(port: settings.port)): \(error)")
    }
    pipeline.start { ReadingWriter(location, logger: logger) }
    self.pipeline = pipeline
    self.reader = reader
    self.group = group
    self.health = health
    health.setAll(.serving)
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
