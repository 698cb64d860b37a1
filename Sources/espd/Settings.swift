// The effective settings: flags, then environment, then file, then defaults; anything unknown or malformed is an error.
import Configuration
import Foundation
import Logging
import SystemPackage
import TLS

/// What espd runs with.
struct Settings: Sendable {
  var listen: ListenAddress
  /// nil: no TLS.
  var tls: TLSSettings?
  /// Empty: no page of another origin may call.
  var corsOrigins: [String]
  /// Whether the reflection services are there.
  var reflection: Bool
  var dataDirectory: String
  /// Secret: may hold a password. nil = the embedded database.
  var databaseURL: String?
  var logLevel: Logger.Level
  var logsJSON: Bool
  var maximumReadingAge: Duration
  /// How long a producer's cursor is kept unused; nil = for ever.
  var producerExpiry: Duration?
  var drainTimeout: Duration
  var eventLoops: Int
  var limits: LimitSettings
  var journal: JournalSettings
  /// Settings that were given though their feature has not been built.
  var withoutEffect: [String]

  /// Merges the sources.
  /// - Parameters:
  ///   - flags: by `SettingKey.name`.
  ///   - file: a JSON object whose keys are `SettingKey.name`s.
  /// - Throws: `SettingsError` that names the key.
  static func load(flags: [String: String], environment: [String: String], file: String?) async throws -> Settings {
    var providers: [any ConfigProvider] = [
      InMemoryProvider(name: "flags", values: Dictionary(uniqueKeysWithValues: flags.map { flag in
        (AbsoluteConfigKey([flag.key]), ConfigValue(.string(flag.value), isSecret: false))
      })),
      EnvironmentVariablesProvider(environmentVariables: environment).prefixKeys(with: "esp"),
    ]
    let ours = environment.keys.filter { $0.hasPrefix("ESP_") && !$0.hasPrefix("ESP_TEST_") }
    var given = ours.map { String($0.dropFirst(4)).lowercased() }
    if let file {
      given += try keys(ofFile: file)
      do {
        providers.append(try await FileProvider<JSONSnapshot>(filePath: FilePath(file)))
      } catch {
        throw SettingsError("the file \(file) can't be read: \(error)")
      }
    }
    let reserved = given.filter(SettingKey.reserved.contains)
    for name in given where !SettingKey.all.contains(where: { $0.name == name }) && !reserved.contains(name) {
      throw SettingsError("unknown setting \(name); the nearest known one is \(SettingKey.nearest(to: name).name)")
    }
    return try Settings(reading: ConfigReader(providers: providers), withoutEffect: Set(reserved).sorted())
  }

  private static func keys(ofFile path: String) throws -> [String] {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw SettingsError("the file \(path) can't be read")
    }
    guard let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
      throw SettingsError("the file \(path) is not a JSON object")
    }
    return Array(object.keys)
  }

  private init(reading config: ConfigReader, withoutEffect: [String]) throws {
    func text(_ key: SettingKey) -> String? {
      let value = config.string(forKey: ConfigKey([key.name]), isSecret: key.isSecret)
        ?? config.int(forKey: ConfigKey([key.name])).map { String($0) }
      return value.flatMap { $0.isEmpty ? nil : $0 } ?? key.defaultValue
    }
    func number(_ key: SettingKey, _ range: ClosedRange<Int>) throws -> Int? {
      guard let text = text(key) else { return nil }
      guard let number = Int(text), range.contains(number) else {
        throw SettingsError("\(key.name) is \(text); a whole number from \(range.lowerBound) to \(range.upperBound) "
          + "is needed")
      }
      return number
    }
    listen = try ListenAddress(text(.listen) ?? "", .listen)
    guard listen.isLoopback else {
      throw SettingsError("listen is \(listen); only loopback addresses (127.0.0.1, ::1, localhost) are allowed "
        + "without TLS; use tls_listen for others")
    }
    tls = try TLSSettings(text)
    corsOrigins = try (text(.corsOrigins) ?? "").split(separator: ",").map { try Self.origin(String($0)) }
    // A boolean of the file is no text, and as a number it would be 0 or 1.
    let key = ConfigKey([SettingKey.reflection.name])
    switch config.string(forKey: key) ?? config.bool(forKey: key).map({ String($0) }) ?? text(.reflection) {
    case "true": reflection = true
    case "false": reflection = false
    case let other: throw SettingsError("reflection is \(other ?? ""); true or false is needed")
    }
    dataDirectory = URL(fileURLWithPath: text(.dataDir) ?? "").standardizedFileURL.path
    databaseURL = text(.databaseURL)
    guard let level = Logger.Level(rawValue: text(.logLevel) ?? "") else {
      throw SettingsError("log_level is \(text(.logLevel) ?? ""); \(SettingKey.logLevel.meaning) is needed")
    }
    logLevel = level
    switch text(.logFormat) {
    case nil: logsJSON = isatty(STDERR_FILENO) == 0
    case "json": logsJSON = true
    case "text": logsJSON = false
    case let other?: throw SettingsError("log_format is \(other); text or json is needed")
    }
    maximumReadingAge = .seconds(86_400 * (try number(.maxReadingAgeDays, 1...36_500) ?? 30))
    // 90 days: longer than a gateway lies in a store and is then put back.
    let expiryDays = try number(.producerExpiryDays, 0...36_500) ?? 90
    producerExpiry = expiryDays == 0 ? nil : .seconds(86_400 * expiryDays)
    drainTimeout = .seconds(try number(.drainTimeoutSeconds, 0...3600) ?? 10)
    eventLoops = try number(.eventLoops, 1...1024) ?? ProcessInfo.processInfo.activeProcessorCount
    limits = try LimitSettings(eventLoops: eventLoops, number)
    journal = try JournalSettings(maximumMessageMiB: limits.maximumMessageMiB, number)
    self.withoutEffect = withoutEffect
  }

  /// An origin as browsers write it (RFC 6454 6.2): anything else would never match.
  private static func origin(_ text: String) throws -> String {
    let origin = text.trimmingCharacters(in: .whitespaces)
    guard let match = origin.wholeMatch(of: /(https?):\/\/(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?/),
          !(match.1 == "http" && match.3 == ":80"), !(match.1 == "https" && match.3 == ":443") else {
      throw SettingsError("cors_origins has \(origin); exact origins are needed, lower case, without a path, without "
        + "the scheme's own port, for example https://dashboard.example or http://localhost:3000; * is not taken")
    }
    return origin
  }

  /// Each setting with its value, secrets masked.
  var description: [(name: String, value: String)] {
    [
      (SettingKey.listen.name, "\(listen)"),
      (SettingKey.tlsListen.name, tls.map { "\($0.listen)" } ?? ""),
      (SettingKey.tlsCert.name, tls?.files.certificate ?? ""),
      (SettingKey.tlsKey.name, tls?.files.key ?? ""),
      (SettingKey.tlsClientCA.name, tls?.files.clientAuthorities ?? ""),
      (SettingKey.tlsClientCRL.name, tls?.files.clientRevocations ?? ""),
      (SettingKey.corsOrigins.name, corsOrigins.joined(separator: ",")),
      (SettingKey.reflection.name, "\(reflection)"),
      (SettingKey.dataDir.name, dataDirectory),
      (SettingKey.databaseURL.name, databaseURL == nil ? "" : "***"),
      (SettingKey.logLevel.name, logLevel.rawValue),
      (SettingKey.logFormat.name, logsJSON ? "json" : "text"),
      (SettingKey.maxReadingAgeDays.name, "\(maximumReadingAge.components.seconds / 86_400)"),
      (SettingKey.producerExpiryDays.name, "\((producerExpiry?.components.seconds ?? 0) / 86_400)"),
      (SettingKey.drainTimeoutSeconds.name, "\(drainTimeout.components.seconds)"),
      (SettingKey.eventLoops.name, "\(eventLoops)"),
    ] + limits.description + journal.description
  }
}

/// A setting that can't be used, in words for whoever set it.
struct SettingsError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
