// The tree as a newcomer meets it: documents that name what is there, and nothing of the machine it was written on.

enum TreeRules {
  /// Each module stands in ARCHITECTURE.md's table, on the line that the module table gives it.
  static func architecture(_ tree: SourceTree, _ table: ModuleTable) -> [Violation] {
    let rows = tableRows(tree.file("ARCHITECTURE.md"))
    let modules = tree.folders(in: "Sources") + tree.folders(in: "bench") + tree.folders(in: "interop/Sources")
    return modules.compactMap { name in
      let row = rows.first { $0.cells.count > 1 && Int($0.cells[0]) != nil && codeWords($0.cells[1]).contains(name) }
      guard let row else {
        return Violation(path: "ARCHITECTURE.md", line: 1, message: "module \(name) is not in the table of modules")
      }
      guard let module = table.modules[name], Int(row.cells[0]) != module.line else { return nil }
      let message = "module \(name) is on line \(module.line) in ModuleTable.swift"
      return Violation(path: "ARCHITECTURE.md", line: row.line, message: message)
    }
  }

  /// Each folder at the top stands in the first column of a table of the README (C-03).
  static func readme(_ tree: SourceTree) -> [Violation] {
    let named = Set(tableRows(tree.file("README.md")).flatMap { codeWords($0.cells.first ?? "") })
    return tree.folders(in: "").filter { !$0.hasPrefix(".") && !named.contains($0) }.map {
      Violation(path: "README.md", line: 1, message: "folder \($0)/ is not in the table of folders")
    }
  }

  /// No path of a developer's machine and no package index: a clone builds anywhere.
  static func machines(_ files: [SourceFile]) -> [Violation] {
    files.flatMap { file in
      file.lines.enumerated().compactMap { index, line in
        if let host = hosts.first(where: line.contains) { return file.violation(index + 1, "names the host \(host)") }
        guard let path = machinePath(in: line) else { return nil }
        return file.violation(index + 1, "\(path) is a path of one machine")
      }
    }
  }

  /// In two halves, so that this file does not break its own rule.
  static let hosts = [
    "pypi" + ".org", "python" + "hosted.org", "deb.debian" + ".org", "npmjs" + ".org", "crates" + ".io",
    "proxy.golang" + ".org",
  ]
  static let folders = ["/" + "work/", "/" + "root/", "/" + "home/", "/" + "Users/"]
  /// What a document may say for anyone's home.
  private static let anyone = ["you", "user", "me"]

  private static func machinePath(in line: String) -> String? {
    for folder in folders {
      for range in line.ranges(of: folder) {
        // Within a longer path ("docs" + folder) or a URL it is a part of another name.
        let before = range.lowerBound == line.startIndex ? nil : line[line.index(before: range.lowerBound)]
        if before.map({ $0.isLetter || $0.isNumber || "._-~}".contains($0) }) == true { continue }
        let name = line[range.upperBound...].prefix { $0.isLetter || $0.isNumber || "._-".contains($0) }
        if name.isEmpty || anyone.contains(String(name)) { continue }
        return folder + name
      }
    }
    return nil
  }

  /// Swift's share, in percent, of the non-blank hand-written lines of code below Sources/ (C-01).
  static func swiftShare(_ files: [SourceFile]) -> Double {
    var lines = (swift: 0, all: 0)
    for file in files where file.path.hasPrefix("Sources/") && !file.isGenerated && isCode(file) {
      let count = file.lines.count { line in line.contains { $0 != " " } }
      lines.all += count
      if file.isSwift { lines.swift += count }
    }
    return lines.all == 0 ? 100 : 100 * Double(lines.swift) / Double(lines.all)
  }

  private static func isCode(_ file: SourceFile) -> Bool {
    ["swift", "c", "h", "cc", "cpp", "modulemap", "sql", "js", "ts", "css", "html", "py", "sh"]
      .contains { file.path.hasSuffix("." + $0) }
  }

  /// The rows of all tables of a document, without the rulers.
  private static func tableRows(_ file: SourceFile?) -> [(line: Int, cells: [String])] {
    (file?.lines ?? []).enumerated().filter { $0.element.hasPrefix("|") && !$0.element.hasPrefix("|-") }.map {
      let cells = $0.element.dropFirst().split(separator: "|", omittingEmptySubsequences: false)
      return ($0.offset + 1, cells.map { $0.split(separator: " ").joined(separator: " ") })
    }
  }

  /// The words within backticks: `HTTP2`, or several in one pair; "Sources/" counts as "Sources".
  private static func codeWords(_ cell: String) -> Set<String> {
    let quoted = cell.split(separator: "`", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }
    return Set(quoted.flatMap { $0.element.split { " /,".contains($0) } }.map(String.init))
  }
}
