// The only error that crosses a module: a gRPC status with a message for the client and typed details.

/// A gRPC status. Everything above the fences throws this and nothing else.
///
/// `message` is written for the client: what was wrong, with the value and the limit, and what to do. It never carries
/// internals; those go to the log where the error arose.
package struct RPCStatus: Error, Sendable, Equatable {
  package var code: Code
  package var message: String
  package var details: [Detail]
  /// Metadata sent beside the status, for example `grpc-retry-pushback-ms`. Names are lower case.
  package var metadata: [(name: String, value: String)] { retryAfter.map(Self.pushback) ?? [] }

  package init(_ code: Code, _ message: String, details: [Detail] = []) {
    self.code = code
    self.message = message
    self.details = details
  }

  package static let ok = RPCStatus(.ok, "")

  /// The canonical codes; numbers are those of the gRPC specification.
  package enum Code: Int, Sendable, CaseIterable {
    case ok = 0
    case cancelled = 1
    case unknown = 2
    case invalidArgument = 3
    case deadlineExceeded = 4
    case notFound = 5
    case alreadyExists = 6
    case permissionDenied = 7
    case resourceExhausted = 8
    case failedPrecondition = 9
    case aborted = 10
    case outOfRange = 11
    case unimplemented = 12
    case `internal` = 13
    case unavailable = 14
    case dataLoss = 15
    case unauthenticated = 16

    /// The specification's name, in upper snake case.
    package var name: String {
      "\(self)".reduce(into: "") { name, character in
        if character.isUppercase { name.append("_") }
        name += character.uppercased()
      }
    }
  }

  /// One `google.rpc` detail, carried in `grpc-status-details-bin` and in the `details` of a REST error.
  package enum Detail: Sendable, Equatable {
    /// A stable machine-readable reason in upper snake case; the domain is always "esp".
    case errorInfo(reason: String, metadata: [String: String] = [:])
    case badRequest([FieldViolation])
    /// The call may be repeated unchanged after this time.
    case retryInfo(after: Duration)
    case quotaFailure(subject: String, description: String)
  }

  package struct FieldViolation: Sendable, Equatable {
    package var field: String
    package var description: String

    package init(field: String, description: String) {
      self.field = field
      self.description = description
    }
  }

  private var retryAfter: Duration? {
    for case .retryInfo(let after) in details { return after }
    return nil
  }

  private static func pushback(_ after: Duration) -> [(name: String, value: String)] {
    let (seconds, attoseconds) = after.components
    return [("grpc-retry-pushback-ms", String(seconds * 1000 + attoseconds / 1_000_000_000_000_000))]
  }
}

extension RPCStatus {
  /// INVALID_ARGUMENT that names the field at fault.
  package static func invalidField(_ field: String, _ description: String) -> RPCStatus {
    RPCStatus(.invalidArgument, "\(field): \(description)",
              details: [.badRequest([FieldViolation(field: field, description: description)])])
  }

  /// RESOURCE_EXHAUSTED that names the limit and says when to try again.
  package static func overloaded(subject: String, _ description: String, retryAfter: Duration) -> RPCStatus {
    RPCStatus(.resourceExhausted, description,
              details: [.retryInfo(after: retryAfter), .quotaFailure(subject: subject, description: description)])
  }

  /// UNAVAILABLE that says when to try again.
  package static func unavailable(_ message: String, retryAfter: Duration) -> RPCStatus {
    RPCStatus(.unavailable, message, details: [.retryInfo(after: retryAfter)])
  }
}
