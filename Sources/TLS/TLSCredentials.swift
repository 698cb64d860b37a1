// The context that new connections get, replaced at run time when its files have changed.
package import Logging
internal import Synchronization

/// Files and what was last read from them with success. Shared by all event loops.
package final class TLSCredentials: Sendable {
  private let files: TLSFiles
  private let protocols: [String]
  private let logger: Logger
  private let context: Mutex<TLSContext>

  /// Reads the files; warnings go to the log.
  package init(_ files: TLSFiles, protocols: [String], logger: Logger) throws(TLSError) {
    self.files = files
    self.protocols = protocols
    self.logger = logger
    let context = try TLSContext(files, protocols: protocols)
    self.context = Mutex(context)
    Self.log(context.warnings, logger)
  }

  /// For a connection that begins now; it keeps what it was given.
  package var current: TLSContext { context.withLock { $0 } }

  /// Reads the files again. What can't be used is logged, and the old context stays.
  /// - Returns: whether the files were taken.
  @discardableResult
  package func reload() -> Bool {
    do throws(TLSError) {
      let fresh = try TLSContext(files, protocols: protocols)
      context.withLock { $0 = fresh }
      Self.log(fresh.warnings, logger)
      logger.notice("TLS certificate read again", metadata: ["file": "\(files.certificate)"])
      return true
    } catch {
      logger.error("TLS certificate not replaced: the old one stays", metadata: ["reason": "\(error)"])
      return false
    }
  }

  private static func log(_ warnings: [String], _ logger: Logger) {
    for warning in warnings { logger.warning("\(warning)") }
  }
}
