// Where C pointers may be touched. A new row needs a reason that a reviewer accepts.

/// Files that may say `unsafe`, and why they have to.
struct Fence: Sendable {
  /// Path from the root, with at most one `*`.
  var files: String
  var reason: String

  func covers(_ path: String) -> Bool { NamePattern(files).matches(path) }

  static let project = [
    Fence(files: "Sources/HTTPCore/Span+Bytes.swift", reason: "Array has no bulk append from a Span yet"),
    Fence(files: "Sources/HTTPServer/ThreadClock.swift", reason: "asks the kernel for a thread's CPU time"),
    Fence(files: "Sources/HTTP2/HTTP2Session*.swift", reason: "owns nghttp2_session; its callbacks take notes"),
    Fence(files: "Sources/TLS/OpenSSL/*.swift", reason: "owns SSL_CTX, SSL and its memory BIOs; ALPN, tickets, X509"),
    Fence(files: "Sources/Protobuf/*.swift", reason: "reads and writes protobuf-c's structs by its descriptors"),
    Fence(files: "Sources/Contracts/Ingest/ReadingRow+Usual.swift", reason: "loads of 4 and 8 bytes, a reading's cost"),
    Fence(files: "Sources/Contracts/Descriptors/EmbeddedDescriptorSet.swift", reason: "reads an array of C"),
    Fence(files: "Sources/RPC/MessageCompression*.swift", reason: "owns zlib's streams"),
    Fence(files: "Sources/RPC/EventLoopTaskExecutor.swift", reason: "runs jobs by their unowned references"),
    Fence(files: "Sources/Journal/Disk/JournalDisk.swift", reason: "POSIX files: pwrite, fdatasync, flock, statvfs"),
    Fence(files: "Sources/Journal/Format/CRC32C.swift", reason: "table look-ups without bounds checks"),
    Fence(files: "Sources/Journal/Format/Span+Copying.swift", reason: "Array has no bulk copy of a Span yet"),
    Fence(files: "Sources/PostgresStore/Connection/*.swift", reason: "owns PGconn and its results; pipe and poll"),
    Fence(files: "Sources/PostgresStore/Copy/CopyBuffer.swift", reason: "writes rows in place, 11 ns each"),
    Fence(files: "Sources/PostgresStore/Embedded/*.swift", reason: "starts and ends a process, asks the file system"),
    Fence(files: "Sources/PostgresStore/Read/ReaderLane.swift", reason: "names the executor that is its own thread"),
    Fence(files: "Sources/espd/StartUpPages.swift", reason: "names ranges of its own address space to the kernel"),
  ]
}
