// espd migrate up|down|status.
import ArgumentParser
import Logging
import PostgresStore

struct Migrate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Brings the database's tables to this version, back one step, or says where they are.",
    subcommands: [Up.self, Down.self, Status.self])

  struct Up: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Applies every migration that is missing.")
    @OptionGroup var options: SettingsOptions

    func run() async throws {
      await Migrate.run(options) { migrator in
        let applied = try migrator.up()
        print(applied.isEmpty ? "nothing to do" : applied.map { "applied \($0)" }.joined(separator: "\n"))
      }
    }
  }

  struct Down: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Takes the newest migration back; refuses while that would drop rows.")
    @OptionGroup var options: SettingsOptions

    func run() async throws {
      await Migrate.run(options) { migrator in
        print(try migrator.down().map { "took back \($0)" } ?? "nothing to take back")
      }
    }
  }

  struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists migrations and which are applied.")
    @OptionGroup var options: SettingsOptions

    func run() async throws {
      await Migrate.run(options) { migrator in
        for migration in try migrator.status() {
          print("\(migration.name): \(migration.appliedAt == nil ? "not applied" : "applied")")
        }
      }
    }
  }

  /// Runs `body` against the database of the settings; an embedded one is started for it and stopped after it.
  private static func run(_ options: SettingsOptions, _ body: (Migrator) throws -> Void) async {
    do {
      let settings = try await options.load()
      let logger = Espd.startLogging(settings)
      let database = try await Database.start(settings, logger: logger)
      do {
        try body(Migrator(database.location, logger: logger))
      } catch {
        await database.stop()
        throw error
      }
      await database.stop()
    } catch {
      Espd.fail(error)
    }
  }
}
