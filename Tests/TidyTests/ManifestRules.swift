// Package.swift and the imports tell the same story.

enum ManifestRules {
  /// Each module declares exactly what its files import: SwiftPM itself lets a target import what it never declared,
  /// and never speaks of what it declared in vain.
  static func dependencies(_ files: [SourceFile], _ manifest: Manifest) -> [Violation] {
    let swift = files.filter { $0.isSwift && $0.isProduct && $0.module != nil }
    return Dictionary(grouping: swift) { $0.module ?? "" }.sorted { $0.key < $1.key }.flatMap { name, files in
      guard let target = manifest.targets[name] else {
        return [Violation(path: "Package.swift", line: 1, message: "module \(name) has a folder but no target")]
      }
      let imported = Set(files.flatMap(\.imports).map(\.module)).subtracting(ModuleTable.toolchain)
      let missing = imported.subtracting(target.dependencies).sorted().map {
        "\(name) imports \($0), not declared here"
      }
      let idle = target.dependencies.subtracting(imported).sorted().map { "\(name) declares \($0), imported nowhere" }
      return (missing + idle).map { Violation(path: "Package.swift", line: target.line, message: $0) }
    }
  }

  /// A folder of tests without a target would never run.
  static func testTargets(_ files: [SourceFile], _ manifest: Manifest) -> [Violation] {
    let folders = Set(files.filter { $0.isSwift && $0.path.hasPrefix("Tests/") }.compactMap(\.module))
    return folders.subtracting(manifest.targets.keys).sorted().map {
      Violation(path: "Package.swift", line: 1, message: "Tests/\($0) has no target: its tests never run")
    }
  }
}
