// The settings that espd knows: names, defaults, meaning.

/// One setting. Its name gives the flag (`--data-dir`), the variable (`ESP_DATA_DIR`) and the key in the file
/// (`data_dir`).
struct SettingKey: Sendable {
  /// Lower snake case.
  let name: String
  let defaultValue: String?
  /// Masked wherever settings are shown.
  var isSecret = false
  let meaning: String

  var environmentName: String { "ESP_" + name.uppercased() }

  static let listen = SettingKey(
    name: "listen", defaultValue: "127.0.0.1:8095",
    meaning: "address and port of gRPC without TLS; loopback only; port 0 = any free one")
  static let tlsListen = SettingKey(
    name: "tls_listen", defaultValue: nil,
    meaning: "address and port of gRPC with TLS, besides the other; any address, 0.0.0.0 = all; unset = no TLS")
  static let tlsCert = SettingKey(
    name: "tls_cert", defaultValue: nil,
    meaning: "PEM file with the server's certificate and those that lead to its authority; read again on SIGHUP")
  static let tlsKey = SettingKey(
    name: "tls_key", defaultValue: nil, meaning: "PEM file with the certificate's key, mode 0640 or less")
  static let tlsClientCA = SettingKey(
    name: "tls_client_ca", defaultValue: nil,
    meaning: "PEM file with authorities; set = a client must show a certificate of theirs (mutual TLS)")
  static let tlsClientCRL = SettingKey(
    name: "tls_client_crl", defaultValue: nil,
    meaning: "PEM file with the revocation lists of those authorities, one of each; read again on SIGHUP")
  static let corsOrigins = SettingKey(
    name: "cors_origins", defaultValue: nil,
    meaning: "origins whose pages may call from a browser, exact, with commas: https://host:port; unset = none")
  static let reflection = SettingKey(
    name: "reflection", defaultValue: "true",
    meaning: "true or false: whether clients may ask for the protos by grpc.reflection")
  static let dataDir = SettingKey(
    name: "data_dir", defaultValue: "./data",
    meaning: "folder of the journal, the embedded database and generated secrets")
  static let databaseURL = SettingKey(
    name: "database_url", defaultValue: nil, isSecret: true,
    meaning: "PostgreSQL to use, postgres://user:password@host:5432/name; unset = an embedded one in the data folder")
  static let logLevel = SettingKey(
    name: "log_level", defaultValue: "info", meaning: "trace, debug, info, notice, warning, error or critical")
  static let logFormat = SettingKey(
    name: "log_format", defaultValue: nil, meaning: "text or json; unset = text on a terminal, else json")
  static let maxReadingAgeDays = SettingKey(
    name: "max_reading_age_days", defaultValue: "30",
    meaning: "days back that a reading may be; older ones are quarantined as TIMESTAMP_TOO_OLD")
  static let producerExpiryDays = SettingKey(
    name: "producer_expiry_days", defaultValue: "90",
    meaning: "days after which a producer that was not heard of is forgotten, its sequence included; 0 = never")
  static let drainTimeoutSeconds = SettingKey(
    name: "drain_timeout_seconds", defaultValue: "10",
    meaning: "seconds that clients have to go at shutdown; then their connections are cut")
  static let eventLoops = SettingKey(
    name: "event_loops", defaultValue: nil, meaning: "threads that serve connections; unset = one a core")

  static let memoryBudgetMiB = SettingKey(
    name: "memory_budget_mib", defaultValue: nil,
    meaning: "MiB that windows, requests, answers and the queue may take together; unset = 256")
  static let maxConnections = SettingKey(
    name: "max_connections", defaultValue: nil, meaning: "connections at once; unset = 10,000")
  static let maxStreams = SettingKey(
    name: "max_streams", defaultValue: nil, meaning: "calls at once on a connection; unset = 1,000")
  static let maxMessageMiB = SettingKey(
    name: "max_message_mib", defaultValue: nil, meaning: "largest message, MiB; unset = 4")
  static let idleTimeoutSeconds = SettingKey(
    name: "idle_timeout_seconds", defaultValue: nil,
    meaning: "seconds without a call after which a connection is asked to go; unset = 1,800")
  static let handshakeTimeoutSeconds = SettingKey(
    name: "handshake_timeout_seconds", defaultValue: nil,
    meaning: "seconds that a client has for TLS, and again for HTTP/2's greeting; unset = 10")

  static let heartbeatSeconds = SettingKey(
    name: "heartbeat_seconds", defaultValue: nil,
    meaning: "seconds after which a silent stream hears from the server, less than balancers wait; unset = 30")

  static let journalMaxMiB = SettingKey(
    name: "journal_max_mib", defaultValue: nil,
    meaning: "MiB that batches which wait for the database may take on the disk, backfill a quarter of it; "
      + "unset = 8,192")
  static let journalMaxDiskPercent = SettingKey(
    name: "journal_max_disk_percent", defaultValue: nil,
    meaning: "percent of the data folder's file system that may be in use when the journal grows; unset = 90")
  static let journalSegmentMiB = SettingKey(
    name: "journal_segment_mib", defaultValue: nil,
    meaning: "MiB of a file of the journal, which is made before it is needed; unset = 64")

  static let all = [
    listen, tlsListen, tlsCert, tlsKey, tlsClientCA, tlsClientCRL, corsOrigins, reflection, dataDir, databaseURL,
    logLevel, logFormat, maxReadingAgeDays, producerExpiryDays, drainTimeoutSeconds, eventLoops, memoryBudgetMiB,
    maxConnections, maxStreams, maxMessageMiB, idleTimeoutSeconds, handshakeTimeoutSeconds, heartbeatSeconds,
    journalMaxMiB, journalMaxDiskPercent, journalSegmentMiB,
  ]

  /// Settings of the contract whose feature has not been built yet: setting one is not an error, but it is said that it
  /// has no effect.
  static let reserved: Set<String> = [
    "redis_url", "jwt_secret", "admin_password", "range_policy",
  ]

  /// The known name that is nearest to a misspelt one, by edit distance.
  static func nearest(to name: String) -> SettingKey {
    let distances = all.map { (key: $0, distance: editDistance($0.name, name)) }
    return distances.min { $0.distance < $1.distance }?.key ?? listen
  }

  private static func editDistance(_ first: String, _ second: String) -> Int {
    let (first, second) = (Array(first), Array(second))
    var row = Array(0...second.count)
    for (i, a) in first.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, b) in second.enumerated() {
        let above = row[j + 1]
        row[j + 1] = a == b ? diagonal : 1 + min(diagonal, above, row[j])
        diagonal = above
      }
    }
    return row[second.count]
  }
}
