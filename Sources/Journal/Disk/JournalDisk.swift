// The journal's file operations; tests put failing ones in their place. Fence file: POSIX calls.
internal import Glibc

/// An open file, closed with its last user.
package final class JournalFile: Sendable {
  package let path: String
  let descriptor: Int32

  fileprivate init(path: String, descriptor: Int32) {
    self.path = path
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }
}

/// What the operating system said.
package struct DiskError: Error, CustomStringConvertible {
  package var operation: String
  package var path: String
  package var code: Int32

  package init(_ operation: String, _ path: String, code: Int32) {
    self.operation = operation
    self.path = path
    self.code = code
  }

  fileprivate init(_ operation: String, _ path: String) { self.init(operation, path, code: errno) }

  /// No room on the file system or in the quota: may pass by itself.
  package var isFull: Bool { code == ENOSPC || code == EDQUOT }
  var isMissing: Bool { code == ENOENT }
  package var description: String { "\(operation) \(path): \(unsafe String(cString: strerror(code)))" }
}

/// The operations that may fail while the journal runs. Any thread.
package protocol JournalDisk: Sendable {
  /// All bytes, or an error.
  func write(_ bytes: [UInt8], to file: JournalFile, at offset: Int) throws(DiskError)
  /// Returns when the file's bytes are on the disk (fdatasync).
  func synchronize(_ file: JournalFile) throws(DiskError)
  func rename(_ old: String, to new: String) throws(DiskError)
  /// Returns when names made, changed and removed in the directory are on the disk.
  func synchronizeDirectory(_ path: String) throws(DiskError)
}

package struct SystemDisk: JournalDisk {
  package init() {}

  package func write(_ bytes: [UInt8], to file: JournalFile, at offset: Int) throws(DiskError) {
    var done = 0
    while done < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe pwrite(file.descriptor, $0.baseAddress.unsafelyUnwrapped + done, $0.count - done, offset + done)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw DiskError("write to", file.path) }
      done += count
    }
  }

  package func synchronize(_ file: JournalFile) throws(DiskError) {
    // Not again after EIO: the kernel has forgotten by then which pages it could not write, and would say "done".
    guard fdatasync(file.descriptor) == 0 else { throw DiskError("fdatasync of", file.path) }
  }

  package func rename(_ old: String, to new: String) throws(DiskError) {
    guard unsafe Glibc.rename(old, new) == 0 else { throw DiskError("rename of", old) }
  }

  package func synchronizeDirectory(_ path: String) throws(DiskError) {
    let file = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard file >= 0 else { throw DiskError("opening", path) }
    defer { close(file) }
    guard fsync(file) == 0 else { throw DiskError("fsync of", path) }
  }
}

/// What the journal asks of the file system besides.
enum Disk {
  enum Access {
    case reading, writing
    /// Must not exist yet.
    case making
  }

  static func open(_ path: String, for access: Access) throws(DiskError) -> JournalFile {
    let flags = switch access {
    case .reading: O_RDONLY
    case .writing: O_RDWR
    case .making: O_RDWR | O_CREAT | O_EXCL
    }
    let descriptor = unsafe Glibc.open(path, flags | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw DiskError("opening", path) }
    return JournalFile(path: path, descriptor: descriptor)
  }

  /// As many of `count` bytes as there are.
  static func read(_ file: JournalFile, at offset: Int, count: Int) throws(DiskError) -> [UInt8] {
    var failure: DiskError?
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initializedCount in
      while initializedCount < count {
        let result = unsafe pread(file.descriptor, buffer.baseAddress.unsafelyUnwrapped + initializedCount,
                                  count - initializedCount, offset + initializedCount)
        if result < 0, errno == EINTR { continue }
        if result < 0 { failure = DiskError("reading", file.path) }
        if result <= 0 { break }
        initializedCount += result
      }
    }
    if let failure { throw failure }
    return bytes
  }

  static func byteCount(of file: JournalFile) throws(DiskError) -> Int {
    var status = stat()
    guard unsafe fstat(file.descriptor, &status) == 0 else { throw DiskError("asking for the size of", file.path) }
    return Int(status.st_size)
  }

  /// As `mkdir -p`, mode 0700.
  static func makeDirectories(_ path: String) throws(DiskError) {
    if unsafe mkdir(path, 0o700) == 0 || errno == EEXIST { return }
    guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
      throw DiskError("making", path)
    }
    try makeDirectories(String(path[..<slash]))
    guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else { throw DiskError("making", path) }
  }

  static func names(in directory: String) throws(DiskError) -> [String] {
    guard let handle = unsafe opendir(directory) else { throw DiskError("reading", directory) }
    defer { unsafe closedir(handle) }
    var names: [String] = []
    while let entry = unsafe readdir(handle) {
      names.append(unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      })
    }
    return names
  }

  static func exists(_ path: String) throws(DiskError) -> Bool {
    if unsafe access(path, F_OK) == 0 { return true }
    guard errno == ENOENT else { throw DiskError("looking for", path) }
    return false
  }

  static func remove(_ path: String) throws(DiskError) {
    guard unsafe unlink(path) == 0 else { throw DiskError("removing", path) }
  }

  /// Nil when another process holds it. Held until the file is closed, however the process ends.
  static func lock(_ path: String) throws(DiskError) -> JournalFile? {
    let descriptor = unsafe Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw DiskError("opening", path) }
    let file = JournalFile(path: path, descriptor: descriptor)
    return flock(descriptor, LOCK_EX | LOCK_NB) == 0 ? file : nil
  }

  /// Bytes that we may still use, and those with what is in use: as df(1) reckons. What is kept for others, or lies
  /// beyond what this machine may take of the disk, is in neither.
  static func room(in directory: String) throws(DiskError) -> (available: Int, total: Int) {
    var status = statvfs()
    guard unsafe statvfs(directory, &status) == 0 else { throw DiskError("asking for the room of", directory) }
    let (available, used) = (Int(status.f_bavail), Int(status.f_blocks) - Int(status.f_bfree))
    return (available * Int(status.f_frsize), (used + available) * Int(status.f_frsize))
  }
}
