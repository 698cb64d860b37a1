// espd serve: runs until SIGTERM or SIGINT, then drains.
import ArgumentParser
import Foundation
import Logging
import UnixSignals

struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs the server; SIGTERM or SIGINT drains it, a second one ends it at once.",
    discussion: "SIGHUP reads the certificate again.")

  @OptionGroup var options: SettingsOptions

  func run() async throws {
    // A peer that closes early must not end the process.
    signal(SIGPIPE, SIG_IGN)
    do {
      let settings = try await options.load()
      let logger = Espd.startLogging(settings)
      var signals = await UnixSignalsSequence(trapping: .sigterm, .sigint).makeAsyncIterator()
      let hangups = await UnixSignalsSequence(trapping: .sighup)
      let server = try await Server.start(settings, logger: logger)
      print("espd ready: listening on \(server.addresses)")
      fflush(nil)
      StartUpPages.release()
      let reloading = Task { for await _ in hangups { server.reload() } }
      _ = await signals.next()
      reloading.cancel()
      let impatience = Task {
        var signals = await UnixSignalsSequence(trapping: .sigterm, .sigint).makeAsyncIterator()
        guard await signals.next() != nil else { return }
        logger.warning("second signal: ending at once; what was acknowledged is in the journal")
        _exit(1)
      }
      await server.stop()
      impatience.cancel()
    } catch {
      Espd.fail(error)
    }
  }
}
