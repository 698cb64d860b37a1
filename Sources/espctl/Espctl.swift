// espctl: looks into what espd keeps.
import ArgumentParser
import Foundation

@main
struct Espctl: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "espctl", abstract: "Looks into what espd keeps.", subcommands: [JournalCommand.self])

  /// Ends the program with one sentence.
  static func fail(_ error: any Error) -> Never {
    FileHandle.standardError.write(Data("espctl: \(error)\n".utf8))
    Foundation.exit(1)
  }
}

struct JournalCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "journal", abstract: "The journal of batches that are on disk and may not be in the database yet.",
    subcommands: [InspectJournal.self])
}
