// The project's own files, read once for all rules.
import Foundation

/// All text files of the project but those that `.gitignore` names, sorted by path.
struct SourceTree: Sendable {
  let files: [SourceFile]

  /// The tree that this test was compiled in.
  static let project = SourceTree(root: projectRoot())

  init(root: URL) {
    // Without the file there are no patterns.
    let patterns = (try? String(contentsOf: root.appending(path: ".gitignore"), encoding: .utf8)) ?? ""
    var walk = Walk(root: root, ignored: patterns.split(separator: "\n").map(NamePattern.init(ignoreLine:)))
    walk.visit("")
    files = walk.files
  }

  init(_ files: [SourceFile]) { self.files = files }

  func file(_ path: String) -> SourceFile? { files.first { $0.path == path } }

  var swift: [SourceFile] { files.filter(\.isSwift) }

  /// The names of the folders within one; "" is the root.
  func folders(in parent: String) -> [String] {
    let prefix = parent.isEmpty ? "" : parent + "/"
    let names = files.filter { $0.path.hasPrefix(prefix) }.compactMap { file -> String? in
      let rest = file.path.dropFirst(prefix.count).split(separator: "/")
      return rest.count > 1 ? String(rest[0]) : nil
    }
    return Set(names).sorted()
  }

  private static func projectRoot() -> URL {
    var folder = URL(filePath: #filePath).deletingLastPathComponent()
    while !FileManager.default.fileExists(atPath: folder.appending(path: "Package.swift").path) {
      precondition(folder.path != "/", "no Package.swift above the folder of this test")
      folder.deleteLastPathComponent()
    }
    return folder
  }
}

/// A name or path with at most one `*`, which stands for any text.
struct NamePattern: Sendable {
  let prefix: Substring
  let suffix: Substring?

  init(_ text: some StringProtocol) {
    let parts = Substring(text).split(separator: "*", maxSplits: 1, omittingEmptySubsequences: false)
    prefix = parts.first ?? ""
    suffix = parts.count > 1 ? parts[1] : nil
  }

  /// One line of `.gitignore`, of the kinds we use: a name, with `/` at its end for folders.
  init(ignoreLine line: Substring) { self.init(line.hasSuffix("/") ? line.dropLast() : line) }

  func matches(_ name: String) -> Bool {
    guard let suffix else { return name == prefix }
    return name.hasPrefix(prefix) && name.hasSuffix(suffix) && name.count >= prefix.count + suffix.count
  }
}

/// The recursion of `SourceTree.init(root:)`.
private struct Walk {
  let root: URL
  let ignored: [NamePattern]
  var files: [SourceFile] = []

  /// Folders that begin with a dot belong to tools, except this one.
  static let ownHiddenFolders = [".ci"]

  mutating func visit(_ folder: String) {
    // A folder that vanishes while we walk is no longer part of the tree.
    let names = (try? FileManager.default.contentsOfDirectory(atPath: root.appending(path: folder).path)) ?? []
    for name in names.sorted() where !ignored.contains(where: { $0.matches(name) }) {
      let path = folder.isEmpty ? name : folder + "/" + name
      let values = try? root.appending(path: path).resourceValues(forKeys: [.isDirectoryKey, .isSymbolicLinkKey])
      if values?.isSymbolicLink == true { continue }
      if values?.isDirectory == true {
        if !name.hasPrefix(".") || Self.ownHiddenFolders.contains(name) { visit(path) }
      } else if let text = try? String(contentsOf: root.appending(path: path), encoding: .utf8) {
        files.append(SourceFile(path, text))  // what is not UTF-8 is not text
      }
    }
  }
}
