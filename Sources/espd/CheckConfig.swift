// espd check-config: the effective settings, secrets masked.
import ArgumentParser

struct CheckConfig: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Prints the effective settings, secrets masked; fails naming what is wrong.")

  @OptionGroup var options: SettingsOptions

  func run() async throws {
    do {
      for setting in try await options.load().description { print("\(setting.name) = \(setting.value)") }
    } catch {
      Espd.fail(error)
    }
  }
}
