// Why the journal did not take or give a record, and what a client is told.
package import Status

package enum JournalError: Error, Equatable, CustomStringConvertible {
  /// The limit of bytes is reached; room comes with `release`.
  case full(used: Int, limit: Int)
  /// The file system has no room for another segment; it is asked again every second.
  case diskFull(reason: String)
  /// More waits for the disk than memory is given for.
  case busy(waiting: Int, limit: Int)
  /// The disk failed. Nothing is taken any more until the next start.
  case failed(reason: String)
  case closed
  case recordTooLarge(bytes: Int, limit: Int)
  /// What stands there is not what was written.
  case damaged(JournalPosition, reason: String)
  /// At the start: the directory cannot be used.
  case unusable(path: String, reason: String)

  package var description: String {
    switch self {
    case .full(let used, let limit): "the journal is full: \(used) of \(limit) bytes are in use"
    case .diskFull(let reason): "no room for the journal: \(reason)"
    case .busy(let waiting, let limit): "\(waiting) bytes wait for the journal's disk, the limit is \(limit)"
    case .failed(let reason): "the journal takes nothing until the server is started again: \(reason)"
    case .closed: "the journal is closed"
    case .recordTooLarge(let bytes, let limit): "a record of \(bytes) bytes, the limit of the journal is \(limit)"
    case .damaged(let position, let reason): "the journal is damaged at \(position): \(reason)"
    case .unusable(let path, let reason): "the journal in \(path) cannot be used: \(reason)"
    }
  }

  /// For the client. Paths and causes stay in the log.
  package var rpcStatus: RPCStatus {
    switch self {
    case .full: .overloaded(subject: "journal", description, retryAfter: .seconds(1))
    case .diskFull:
      .overloaded(subject: "journal", "the server's disk has no room for the journal", retryAfter: .seconds(5))
    case .busy: .overloaded(subject: "journal", description, retryAfter: .milliseconds(500))
    case .failed, .unusable:
      .unavailable("the server cannot write its journal; its log says why", retryAfter: .seconds(10))
    case .closed: .unavailable("the server is stopping", retryAfter: .seconds(1))
    case .recordTooLarge: RPCStatus(.resourceExhausted, description)
    case .damaged: RPCStatus(.dataLoss, "a part of the server's journal cannot be read")
    }
  }
}
