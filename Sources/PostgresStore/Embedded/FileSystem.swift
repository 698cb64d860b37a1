// The few file operations of the embedded database, with errors that name the path. Fence file: POSIX calls.
import Glibc

enum FileSystem {
  static var lastError: String { unsafe String(cString: strerror(errno)) }

  static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

  static func isExecutable(_ path: String) -> Bool { unsafe access(path, X_OK) == 0 }

  /// As `mkdir -p`.
  static func makeDirectories(_ path: String) throws(EmbeddedPostgresError) {
    if unsafe mkdir(path, 0o755) == 0 || errno == EEXIST { return }
    if errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex {
      try makeDirectories(String(path[..<slash]))
      if unsafe mkdir(path, 0o755) == 0 || errno == EEXIST { return }
    }
    throw .failed("\(path) cannot be made: \(lastError)")
  }

  /// Mode 0700, for `account`.
  static func makePrivateDirectory(_ path: String, for account: ServerAccount) throws(EmbeddedPostgresError) {
    guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else {
      throw .failed("\(path) cannot be made: \(lastError)")
    }
    try give(path, to: account)
  }

  /// A new private directory in `parent` with a name that nobody can guess.
  static func makeRandomDirectory(in parent: String,
                                  for account: ServerAccount) throws(EmbeddedPostgresError) -> String {
    var template = (parent + "/espd-XXXXXX").utf8CString.map { $0 }
    guard unsafe mkdtemp(&template) != nil else { throw .failed("no directory can be made in \(parent): \(lastError)") }
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    try give(path, to: account)
    return path
  }

  static func give(_ path: String, to account: ServerAccount) throws(EmbeddedPostgresError) {
    guard account.isOther else { return }
    guard unsafe chown(path, account.userID, account.groupID) == 0 else {
      throw .failed("\(path) cannot be given to user \(account.name): \(lastError)")
    }
  }

  static func owner(of path: String) -> UInt32? {
    var status = stat()
    return unsafe stat(path, &status) == 0 ? status.st_uid : nil
  }

  static func byteCount(of path: String) -> Int {
    var status = stat()
    return unsafe stat(path, &status) == 0 ? Int(status.st_size) : 0
  }

  static func isLink(_ path: String) -> Bool { linkTarget(path) != nil }

  static func linkTarget(_ path: String) -> String? {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = unsafe readlink(path, &buffer, Int(PATH_MAX))
    return count < 0 ? nil : String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  static func realPath(_ path: String) throws(EmbeddedPostgresError) -> String {
    guard let resolved = unsafe realpath(path, nil) else { throw .failed("\(path) cannot be reached: \(lastError)") }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }

  /// Names in a directory, without `.` and `..`; empty when it cannot be read.
  static func names(in directory: String) -> [String] {
    guard let handle = unsafe opendir(directory) else { return [] }
    defer { unsafe closedir(handle) }
    var names: [String] = []
    while let entry = unsafe readdir(handle) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  static func remove(_ path: String) { unsafe unlink(path) }

  /// As `rm -r`; links are removed, not followed.
  static func removeTree(_ path: String) {
    if !isLink(path), unsafe unlink(path) != 0 {
      for name in names(in: path) { removeTree(path + "/" + name) }
      unsafe rmdir(path)
    } else {
      unsafe unlink(path)
    }
  }

  /// The first 64 KiB of a text file, nil when it cannot be read.
  static func contents(of path: String) -> String? { read(path, from: 0).map { String(decoding: $0, as: UTF8.self) } }

  /// The end of a log: what to show with an error.
  static func tail(of path: String, byteCount: Int = 2000) -> String {
    let start = max(0, self.byteCount(of: path) - byteCount)
    return read(path, from: start).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  private static func read(_ path: String, from offset: Int) -> [UInt8]? {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var buffer = [UInt8](repeating: 0, count: 64 * 1024)
    let count = unsafe buffer.withUnsafeMutableBytes { unsafe pread(file, $0.baseAddress, $0.count, offset) }
    return count < 0 ? nil : Array(buffer[..<count])
  }

  /// Replaces the file, in one step, and gives it to `account`.
  static func write(_ text: String, to path: String, for account: ServerAccount) throws(EmbeddedPostgresError) {
    let new = path + ".new"
    let file = unsafe open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw .failed("\(new) cannot be written: \(lastError)") }
    let bytes = Array(text.utf8)
    let written = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(file, $0.baseAddress, $0.count) }
    fsync(file)
    close(file)
    guard written == bytes.count else { throw .failed("\(new) cannot be written: \(lastError)") }
    try give(new, to: account)
    try rename(new, to: path)
  }

  static func link(_ place: String, to target: String) throws(EmbeddedPostgresError) {
    guard unsafe symlink(target, place) == 0 else { throw .failed("\(place) cannot be made: \(lastError)") }
  }

  static func rename(_ old: String, to new: String) throws(EmbeddedPostgresError) {
    guard unsafe Glibc.rename(old, new) == 0 else { throw .failed("\(old) cannot be renamed: \(lastError)") }
  }
}
