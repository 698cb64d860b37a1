// The settings as flags of every command.
import ArgumentParser
import Foundation

/// Flags that stand before environment and file.
struct SettingsOptions: ParsableArguments {
  @Option(help: "JSON file with settings by name, for example {\"listen\": \"127.0.0.1:8095\"}.")
  var config: String?

  @Option(help: ArgumentHelp(stringLiteral: SettingKey.listen.meaning)) var listen: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.tlsListen.meaning)) var tlsListen: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.tlsCert.meaning)) var tlsCert: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.tlsKey.meaning)) var tlsKey: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.tlsClientCA.meaning)) var tlsClientCA: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.tlsClientCRL.meaning)) var tlsClientCRL: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.corsOrigins.meaning)) var corsOrigins: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.reflection.meaning)) var reflection: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.dataDir.meaning)) var dataDir: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.databaseURL.meaning)) var databaseURL: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.logLevel.meaning)) var logLevel: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.logFormat.meaning)) var logFormat: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.maxReadingAgeDays.meaning)) var maxReadingAgeDays: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.producerExpiryDays.meaning)) var producerExpiryDays: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.drainTimeoutSeconds.meaning)) var drainTimeoutSeconds: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.eventLoops.meaning)) var eventLoops: String?

  @Option(help: ArgumentHelp(stringLiteral: SettingKey.memoryBudgetMiB.meaning)) var memoryBudgetMib: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.maxConnections.meaning)) var maxConnections: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.maxStreams.meaning)) var maxStreams: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.maxMessageMiB.meaning)) var maxMessageMib: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.idleTimeoutSeconds.meaning)) var idleTimeoutSeconds: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.handshakeTimeoutSeconds.meaning))
  var handshakeTimeoutSeconds: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.heartbeatSeconds.meaning)) var heartbeatSeconds: String?

  @Option(help: ArgumentHelp(stringLiteral: SettingKey.journalMaxMiB.meaning)) var journalMaxMib: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.journalMaxDiskPercent.meaning))
  var journalMaxDiskPercent: String?
  @Option(help: ArgumentHelp(stringLiteral: SettingKey.journalSegmentMiB.meaning)) var journalSegmentMib: String?

  func load() async throws -> Settings {
    let flags: [(SettingKey, String?)] = [
      (.listen, listen), (.tlsListen, tlsListen), (.tlsCert, tlsCert), (.tlsKey, tlsKey), (.tlsClientCA, tlsClientCA),
      (.tlsClientCRL, tlsClientCRL), (.corsOrigins, corsOrigins), (.reflection, reflection), (.dataDir, dataDir),
      (.databaseURL, databaseURL), (.logLevel, logLevel), (.logFormat, logFormat),
      (.maxReadingAgeDays, maxReadingAgeDays), (.producerExpiryDays, producerExpiryDays),
      (.drainTimeoutSeconds, drainTimeoutSeconds), (.eventLoops, eventLoops),
      (.memoryBudgetMiB, memoryBudgetMib), (.maxConnections, maxConnections), (.maxStreams, maxStreams),
      (.maxMessageMiB, maxMessageMib), (.idleTimeoutSeconds, idleTimeoutSeconds),
      (.handshakeTimeoutSeconds, handshakeTimeoutSeconds), (.heartbeatSeconds, heartbeatSeconds),
      (.journalMaxMiB, journalMaxMib), (.journalMaxDiskPercent, journalMaxDiskPercent),
      (.journalSegmentMiB, journalSegmentMib),
    ]
    var given: [String: String] = [:]
    for (key, value) in flags { given[key.name] = value }
    return try await Settings.load(flags: given, environment: ProcessInfo.processInfo.environment, file: config)
  }
}
