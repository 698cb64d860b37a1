// The folder of the private database: where it lies, what is in it, how it comes to be.
import Logging

/// `<data directory>/postgres`, or what this link points to:
///
/// - `espd-cluster`   says that the folder is ours
/// - `data/`          PostgreSQL's data directory; `data.new/` while initdb is at work
/// - `espd.conf`      our settings, written at each start; `data/postgresql.conf` includes it
/// - `postgres.log`   what the server says
/// - `socket/`        its socket, when the path is short enough
struct ClusterDirectory: Sendable {
  /// Where the cluster goes when user `postgres` cannot get into the data directory, as in a private home.
  static let relocationFolder = "/var/lib/esp-embedded"
  private static let marker = "espd-cluster"

  let account: ServerAccount
  /// Absolute, links resolved.
  let path: String

  var data: String { path + "/data" }
  var log: String { path + "/postgres.log" }
  var settings: String { path + "/espd.conf" }

  /// Finds the folder, or makes it.
  init(in dataDirectory: String, relocationFolder: String, _ account: ServerAccount) throws(EmbeddedPostgresError) {
    self.account = account
    let place = dataDirectory + "/postgres"
    if !FileSystem.exists(place) {
      if let target = FileSystem.linkTarget(place) {
        throw .notOurs(directory: place, reason: "it points to \(target), which is gone. Restore that folder; or, "
          + "if its data are of no more use, remove the link.")
      }
      try Self.make(place, dataDirectory, relocationFolder, account)
    }
    path = try FileSystem.realPath(place)
    try claim()
  }

  private static func make(_ place: String, _ dataDirectory: String, _ relocationFolder: String,
                           _ account: ServerAccount) throws(EmbeddedPostgresError) {
    if try account.canEnter(dataDirectory) { return try FileSystem.makePrivateDirectory(place, for: account) }
    try FileSystem.makeDirectories(relocationFolder)
    let elsewhere = try FileSystem.makeRandomDirectory(in: relocationFolder, for: account)
    guard try account.canEnter(elsewhere) else {
      throw .notOurs(directory: dataDirectory, reason: "user \(account.name) can enter neither it nor \(elsewhere).")
    }
    try FileSystem.link(place, to: elsewhere)
  }

  /// Ours are an empty folder and one with our marker.
  private func claim() throws(EmbeddedPostgresError) {
    if FileSystem.exists(path + "/" + Self.marker) {
      guard FileSystem.owner(of: path) == account.userID else {
        throw .notOurs(directory: path, reason: "it belongs to another user: espd ran under another account before. "
          + "Run it as that one, or change the owner of the folder and all in it.")
      }
      return
    }
    guard FileSystem.names(in: path).isEmpty else {
      throw .notOurs(directory: path, reason: "it holds files that espd did not make. Move them away.")
    }
    try FileSystem.give(path, to: account)
    try FileSystem.write("The private database of espd lives here.\n", to: path + "/" + Self.marker, for: account)
  }

  /// The major version that made the cluster; nil before initdb.
  func version() throws(EmbeddedPostgresError) -> Int? {
    guard FileSystem.exists(data) else { return nil }
    guard let text = FileSystem.contents(of: data + "/PG_VERSION"),
          let version = Int(text.prefix(while: \.isNumber)) else {
      throw .notOurs(directory: data, reason: "it has no readable PG_VERSION, so it is not a database.")
    }
    return version
  }

  /// Makes the cluster under another name and renames it, so that `data` is complete whenever it exists.
  func initialize(_ installation: PostgresInstallation) throws(EmbeddedPostgresError) {
    let new = data + ".new"
    FileSystem.removeTree(new)
    let child = try ChildProcess(account.command(installation.programs + "/initdb", [
      "-D", new, "-U", "postgres", "--encoding=UTF8", "--locale=C", "--auth=trust",
    ]), output: log)
    let exit = child.waitAndReap()
    guard exit == .exited(0) else {
      throw .failed("initdb failed (\(exit)); the end of \(log):\n\(FileSystem.tail(of: log))")
    }
    let configuration = new + "/postgresql.conf"
    try FileSystem.write("""
      # Your own settings go below this line and win.
      include = '../espd.conf'

      """, to: configuration, for: account)
    try FileSystem.rename(new, to: data)
  }

  /// A folder for the socket. Socket paths are limited (108 bytes with the NUL, unix(7)), and libpq takes a comma for
  /// the end of a host: such ones go to /tmp, under a name that is kept in a file, so that a later start removes it.
  func makeSocketDirectory() throws(EmbeddedPostgresError) -> String {
    removeSocketDirectory()
    let near = path + "/socket"
    if (near + "/.s.PGSQL.5432").utf8.count <= 100, !near.contains(",") {
      try FileSystem.makePrivateDirectory(near, for: account)
      return near
    }
    let far = try FileSystem.makeRandomDirectory(in: "/tmp", for: account)
    try FileSystem.write(far, to: path + "/socket-directory", for: account)
    return far
  }

  func removeSocketDirectory() {
    if let far = FileSystem.contents(of: path + "/socket-directory"), far.hasPrefix("/tmp/espd-") {
      FileSystem.removeTree(far)
      FileSystem.remove(path + "/socket-directory")
    }
  }

  /// Keeps the log of the last run when it is long, and no more.
  func rotateLog() {
    let maximumLogBytes = 10 * 1024 * 1024
    guard FileSystem.byteCount(of: log) > maximumLogBytes else { return }
    // Only a log: if it cannot be moved it goes on growing.
    try? FileSystem.rename(log, to: log + ".1")
  }
}
