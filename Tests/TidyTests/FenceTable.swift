// Where C pointers may be touched. A new row needs a reason that a reviewer accepts.

/// Files that may say `unsafe`, and why they have to.
struct Fence: Sendable {
  /// Path from the root, with at most one `*`.
  var files: String
  var reason: String

  func covers(_ path: String) -> Bool { NamePattern(files).matches(path) }

  static let project = [
    Fence(files: "Sources/HTTP2/HTTP2Session*.swift", reason: "owns nghttp2_session; its callbacks take notes"),
    Fence(files: "Sources/Protobuf/*.swift", reason: "reads and writes protobuf-c's structs by its descriptors"),
    Fence(files: "Sources/Contracts/Generated/*.swift", reason: "generated: fields of protobuf-c's structs"),
    Fence(files: "Sources/Contracts/*+Protobuf.swift", reason: "one domain type each, to and from its C struct"),
    Fence(files: "Sources/PostgresStore/PostgresConnection*.swift", reason: "owns PGconn and its results"),
  ]
}
