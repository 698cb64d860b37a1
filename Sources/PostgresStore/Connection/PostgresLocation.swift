// Where the database is, in a form that may be logged. Fence file: libpq parses the text.
internal import CLibpq
package import Logging

/// A database and how to reach it: a URL (`postgres://user:password@host:5432/name`) or `key=value` pairs, as libpq
/// takes them. Its description never holds the password.
@safe package struct PostgresLocation: Sendable, CustomStringConvertible {
  /// Secret: may hold a password.
  let conninfo: String
  package let host: String
  package let port: String
  package let database: String
  package let user: String

  /// Throws when the text is not one that libpq understands; the error does not repeat it, for it may hold a password.
  package init(_ conninfo: String) throws(PostgresError) {
    var reason: UnsafeMutablePointer<CChar>?
    let parsed = unsafe PQconninfoParse(conninfo, &reason)
    defer {
      unsafe PQconninfoFree(parsed)
      unsafe PQfreemem(reason)
    }
    guard let parsed = unsafe parsed else {
      throw PostgresError(.other, "the database's address is malformed; write postgres://user:password@host:5432/name")
    }
    var values: [String: String] = [:]
    var option = unsafe parsed
    while let keyword = unsafe option.pointee.keyword {
      if let value = unsafe option.pointee.val {
        unsafe values[String(cString: keyword)] = unsafe String(cString: value)
      }
      unsafe option += 1
    }
    self.conninfo = conninfo
    host = values["host"] ?? values["hostaddr"] ?? "the default socket"
    port = values["port"] ?? "5432"
    user = values["user"] ?? ""
    database = values["dbname"] ?? ""
  }

  /// A server that listens on a Unix socket in `socketDirectory`.
  package init(socketDirectory: String, database: String, user: String) {
    conninfo = "host='\(Self.quoted(socketDirectory))' port=5432 dbname='\(Self.quoted(database))' "
      + "user='\(Self.quoted(user))' sslmode=disable"
    host = socketDirectory
    port = "5432"
    self.database = database
    self.user = user
  }

  package var description: String { "PostgreSQL at \(host), port \(port), database '\(database)'" }

  /// Connects once and hangs up: for a start that shall fail at once when the address is wrong. Blocking. The error
  /// names host, port and database, never the password.
  package func checkReachable(logger: Logger) throws(PostgresError) {
    do throws(PostgresError) {
      _ = try PostgresConnection(self, logger: logger)
    } catch {
      var named = error
      named.message = "\(self) cannot be used: \(error.message)"
      throw named
    }
  }

  /// Within single quotes of a conninfo string.
  private static func quoted(_ text: String) -> String {
    text.reduce(into: "") { result, character in
      if character == "'" || character == "\\" { result.append("\\") }
      result.append(character)
    }
  }
}
