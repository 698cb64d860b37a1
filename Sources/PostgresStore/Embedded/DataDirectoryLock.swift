// One espd a data directory. Fence file: flock.
import Glibc

/// Holds `espd.lock` in the data directory from `init` until it is released by `deinit` or by the end of the process,
/// however that comes: the kernel keeps it, not the file.
package final class DataDirectoryLock: Sendable {
  /// Absolute, links resolved.
  package let directory: String
  private let fileDescriptor: Int32

  /// Makes the directory when it is missing. Throws `.locked` when another process has it.
  package init(directory: String) throws(EmbeddedPostgresError) {
    try FileSystem.makeDirectories(directory)
    self.directory = try FileSystem.realPath(directory)
    let path = self.directory + "/espd.lock"
    fileDescriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard fileDescriptor >= 0 else { throw .failed("\(path) cannot be opened: \(FileSystem.lastError)") }
    // EWOULDBLOCK: held by another open file; nothing else is possible for a regular file.
    guard flock(fileDescriptor, LOCK_EX | LOCK_NB) == 0 else {
      let holder = FileSystem.contents(of: path).map { $0.prefix { !$0.isNewline } } ?? "unknown"
      throw .locked(directory: self.directory, holder: holder.isEmpty ? "unknown" : String(holder))
    }
    ftruncate(fileDescriptor, 0)
    let line = Array("\(getpid())\n".utf8)
    // Only read by people and by the message above.
    _ = unsafe line.withUnsafeBytes { unsafe write(fileDescriptor, $0.baseAddress, $0.count) }
  }

  deinit { close(fileDescriptor) }
}
