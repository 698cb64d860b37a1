// espd: the telemetry server and its maintenance commands.
import ArgumentParser
import Foundation
import Logging

@main
struct Espd: AsyncParsableCommand {
  /// Of this release; clients see it in GetServerInfo.
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "espd",
    abstract: "Takes telemetry of electrical submersible pumps in exactly once and gives it back.",
    discussion: "Settings come from flags, then ESP_* variables, then the file given by --config.",
    version: version,
    subcommands: [Serve.self, CheckConfig.self, Migrate.self],
    defaultSubcommand: Serve.self)

  /// Starts logging as the settings say. Once a process.
  static func startLogging(_ settings: Settings) -> Logger {
    LoggingSystem.bootstrap { label in
      var handler: any LogHandler = settings.logsJSON ? JSONLogHandler(label: label)
        : StreamLogHandler.standardError(label: label)
      handler.logLevel = settings.logLevel
      return handler
    }
    let logger = Logger(label: "espd")
    for name in settings.withoutEffect {
      logger.warning("a setting has no effect: its feature is not in this version", metadata: ["setting": "\(name)"])
    }
    return logger
  }

  /// Ends the program with one sentence.
  static func fail(_ error: any Error) -> Never {
    FileHandle.standardError.write(Data("espd: \(error)\n".utf8))
    Foundation.exit(1)
  }
}
