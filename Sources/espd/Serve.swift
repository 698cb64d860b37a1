// espd serve: runs until SIGTERM or SIGINT, then drains.
import ArgumentParser
import Foundation
import Logging
import UnixSignals

struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs the server; SIGTERM or SIGINT drains it, a second one ends it at once.")

  @OptionGroup var options: SettingsOptions

  func run() async throws {
    // A peer that closes early must not end the process.
    signal(SIGPIPE, SIG_IGN)
    do {
      let settings = try await options.load()
      let logger = Espd.startLogging(settings)
      var signals = await UnixSignalsSequence(trapping: .sigterm, .sigint).makeAsyncIterator()
      let server = try await Server.start(settings, logger: logger)
      print("espd ready: listening on \(server.address)")
      fflush(nil)
      _ = await signals.next()
      let impatience = Task {
        var signals = await UnixSignalsSequence(trapping: .sigterm, .sigint).makeAsyncIterator()
        guard await signals.next() != nil else { return }
        logger.warning("second signal: ending at once; what was acknowledged is in the database")
        _exit(1)
      }
      await server.stop()
      impatience.cancel()
    } catch {
      Espd.fail(error)
    }
  }
}
