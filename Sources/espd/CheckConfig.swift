// espd check-config: the effective settings, secrets masked.
import ArgumentParser
import Foundation
import TLS

struct CheckConfig: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Prints the effective settings, secrets masked; fails naming what is wrong.")

  @OptionGroup var options: SettingsOptions

  func run() async throws {
    do {
      let settings = try await options.load()
      if let tls = settings.tls {
        for warning in try TLSContext(tls.files, protocols: TLSSettings.protocols).warnings {
          FileHandle.standardError.write(Data("espd: warning: \(warning)\n".utf8))
        }
      }
      for setting in settings.description { print("\(setting.name) = \(setting.value)") }
    } catch {
      Espd.fail(error)
    }
  }
}
