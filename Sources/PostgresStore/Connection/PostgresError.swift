// What PostgreSQL or libpq answered when something failed, and the one status that a client sees for it.
package import Status

/// An error of the server (with SQLSTATE) or of the connection (without).
///
/// `message` and `detail` are for the log: they may hold SQL and values. A client gets `rpcStatus`.
package struct PostgresError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Kind: Sendable, Equatable {
    /// No connection could be made, or it is gone; what it was doing may or may not have happened.
    case connectionLost
    /// SQLSTATE class 22 or 23: these values can never be stored.
    case data
    /// The wait was ended by a `StopSignal`; the connection is to be dropped or its query cancelled.
    case stopped
    /// The wait was ended by its deadline; likewise.
    case timedOut
    case other
  }

  package var kind: Kind
  /// Five characters of PostgreSQL's Appendix A; empty when the server did not speak.
  package var sqlState: String
  package var message: String
  package var detail: String
  /// The violated constraint, where the server names one.
  package var constraint: String

  package init(_ kind: Kind, sqlState: String = "", _ message: String, detail: String = "", constraint: String = "") {
    self.kind = kind
    self.sqlState = sqlState
    self.message = message
    self.detail = detail
    self.constraint = constraint
  }

  package var description: String {
    let state = sqlState.isEmpty ? "" : "\(sqlState): "
    return detail.isEmpty ? state + message : "\(state)\(message) (\(detail))"
  }

  /// The first two characters of the SQLSTATE.
  package var sqlClass: Substring { sqlState.prefix(2) }

  /// A COPY met a day that has no partition: its cached existence was wrong, not the data.
  var isMissingPartition: Bool { sqlState == "23514" && constraint.isEmpty }

  /// For the client: says what to do, never what the server's text was.
  package var rpcStatus: RPCStatus {
    switch kind {
    case .connectionLost: .unavailable("The database cannot be reached now.", retryAfter: .seconds(1))
    case .stopped: RPCStatus(.cancelled, "The request was cancelled.")
    case .timedOut: RPCStatus(.deadlineExceeded, "The database did not answer before the deadline.")
    case .data, .other: statusBySQLState
    }
  }

  /// PostgreSQL 15 manual, Appendix A.
  private var statusBySQLState: RPCStatus {
    switch sqlClass {
    case "22": RPCStatus(.invalidArgument, "The database cannot hold one of the values.")
    case "23" where sqlState == "23505": RPCStatus(.alreadyExists, "It exists already.")
    case "23": RPCStatus(.failedPrecondition, "The database refuses a value that breaks one of its rules.")
    case "40": RPCStatus(.aborted, "Another transaction was in the way; try again.")
    case "53": .overloaded(subject: "database", "The database is short of resources.", retryAfter: .seconds(5))
    case "08", "58": .unavailable("The database cannot be reached now.", retryAfter: .seconds(1))
    case "57" where sqlState == "57014": RPCStatus(.deadlineExceeded, "The query took longer than it may.")
    case "57": .unavailable("The database is restarting.", retryAfter: .seconds(1))
    default: RPCStatus(.internal, "The database refused the request.")
    }
  }
}
