// One file of the tree as the rules see it, and what they say about it.

/// A text file with its path from the project's root. Swift files also have their code, without comments and texts.
struct SourceFile: Sendable {
  let path: String
  let text: String
  /// As in an editor: `lines[0]` is line 1. A final newline starts no further line.
  let lines: [String]
  /// Swift only: `lines` with comments and string contents blanked; the columns (in UTF-8) stay.
  let code: SwiftCode

  init(_ path: String, _ text: String) {
    self.path = path
    self.text = text
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    if lines.last == "" { lines.removeLast() }
    self.lines = lines
    code = SwiftCode(path.hasSuffix(".swift") ? text : "")
  }

  var isSwift: Bool { path.hasSuffix(".swift") }

  /// Written by `proto/generate.sh`: only the rules about imports look at it.
  var isGenerated: Bool {
    path.hasPrefix("Sources/CContracts/") || path.hasPrefix("interop/Sources/CInterop/")
      || path.contains("/Generated/")
      || ["_pb2.py", "_pb2.pyi", "_pb2_grpc.py"].contains { path.hasSuffix($0) }
  }

  /// The target whose folder the file is in: "HTTP2" for Sources/HTTP2/Fold/File.swift, with or without interop/ before
  /// it; nil outside such folders.
  var module: String? {
    let parts = path.split(separator: "/").drop { $0 == "interop" }
    guard parts.count >= 3, let top = parts.first, ["Sources", "bench", "Tests"].contains(top) else { return nil }
    return String(parts[parts.startIndex + 1])
  }

  /// Part of the product: neither a test nor the manifest.
  var isProduct: Bool { ["Sources/", "bench/", "interop/Sources/"].contains { path.hasPrefix($0) } }

  func violation(_ line: Int, _ message: String) -> Violation { Violation(path: path, line: line, message: message) }
}

/// A broken rule, and where. `line` counts from 1.
struct Violation: Sendable, Equatable, CustomStringConvertible {
  var path: String
  var line: Int
  var message: String

  var description: String { "\(path):\(line): \(message)" }
}
