// Arrows between modules point down, and each C library has one door.

/// One `import` of a file.
struct Import: Equatable {
  var module: String
  var line: Int
}

extension SourceFile {
  /// All imports: with attributes and access levels (`package import X`), of one declaration (`import struct X.Y`).
  var imports: [Import] {
    code.lines.enumerated().compactMap { index, line in
      let words = line.split(separator: " ")
      guard let keyword = words.firstIndex(of: "import"), words[..<keyword].allSatisfy(Self.isImportPrefix) else {
        return nil
      }
      let rest = words[(keyword + 1)...].drop { Self.declarationKinds.contains(String($0)) }
      guard let name = rest.first?.split(separator: ".").first else { return nil }
      return Import(module: String(name), line: index + 1)
    }
  }

  private static func isImportPrefix(_ word: Substring) -> Bool {
    word.hasPrefix("@") || ["public", "package", "internal", "fileprivate", "private"].contains(word)
  }

  private static let declarationKinds = [
    "struct", "class", "enum", "protocol", "func", "var", "let", "typealias", "actor",
  ]
}

enum ImportRules {
  /// Each file imports only what the table allows its module; a module that is not in the table has to be added.
  static func arrows(_ files: [SourceFile], _ table: ModuleTable) -> [Violation] {
    files.filter { $0.isSwift && $0.isProduct }.flatMap { file -> [Violation] in
      guard let name = file.module else { return [file.violation(1, "lies in no module's folder")] }
      guard let module = table.modules[name] else {
        return [file.violation(1, "module \(name) is unknown: add it to Tests/TidyTests/ModuleTable.swift")]
      }
      return file.imports.filter { !module.imports.contains($0.module) }.map {
        file.violation($0.line, "\(name) (line \(module.line)) may not import \($0.module): see ModuleTable.swift")
      }
    }
  }

  /// A C library is imported by its fence and by the fence's own tests, by nobody else.
  static func fences(_ files: [SourceFile], _ table: ModuleTable) -> [Violation] {
    files.filter(\.isSwift).flatMap { file in
      file.imports.filter { isCLibrary($0.module, table) }.compactMap { entry -> Violation? in
        let fence = table.fences[entry.module] ?? "no module"
        if file.module == fence || file.module == fence + "Tests" { return nil }
        return file.violation(entry.line, "\(entry.module) is imported by \(fence) only")
      }
    }
  }

  /// What the table itself must keep, so that no edit of it turns an arrow round.
  static func table(_ table: ModuleTable) -> [String] {
    let arrows = table.modules.flatMap { name, module in module.modules.map { (name, module, $0) } }
    let upward = arrows.compactMap { name, module, target -> String? in
      guard let other = table.modules[target] else { return "\(name) imports \(target), which is not in the table" }
      let isWithinCore = module.line == 1 && other.line == 1 && !other.modules.contains(name)
      return other.line < module.line || isWithinCore ? nil : "\(name) -> \(target) does not point down"
    }
    let doors = arrows.filter { isCLibrary($2, table) && table.fences[$2] != $0 }.map { "\($0) is not \($2)'s fence" }
    let core = ModuleTable.core.flatMap { name in
      (table.modules[name]?.others ?? []).subtracting(["Synchronization"]).map {
        "\(name) is core and may not use \($0)"
      }
    }
    return (upward + doors + core).sorted()
  }

  private static func isCLibrary(_ name: String, _ table: ModuleTable) -> Bool {
    if table.fences[name] != nil { return true }
    guard table.modules[name] == nil, !ModuleTable.toolchain.contains(name) else { return false }
    return name.first == "C" && name.dropFirst().first?.isUppercase == true
  }
}
