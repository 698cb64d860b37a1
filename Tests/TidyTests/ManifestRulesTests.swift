// Package.swift against the tree.
import Testing

@Suite("Package.swift") struct ManifestRulesTests {
  static let manifest = Manifest(SourceTree.project.file("Package.swift")?.text ?? "")

  @Test("each module declares exactly the modules and products that it imports") func dependencies() {
    #expect(!Self.manifest.targets.isEmpty)
    expectNone(ManifestRules.dependencies(SourceTree.project.files, Self.manifest))
  }

  @Test("each folder of tests is a target") func testTargets() {
    expectNone(ManifestRules.testTargets(SourceTree.project.files, Self.manifest))
  }

  static let planted = Manifest(
    """
    let nio: [Target.Dependency] = [
      .product(name: "NIOCore", package: "swift-nio"),
      .product(name: "NIOPosix", package: "swift-nio"),
    ]
    let log: Target.Dependency = .product(name: "Logging", package: "swift-log")
    func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target { .target(name: name) }
    let package = Package(name: "esp", targets: [
      library("CNghttp2", apt: "libnghttp2-dev"),
      .target(name: "CContracts", dependencies: ["CProtobufC"], path: "Sources/CContracts"),
      module("Status"),
      module("HTTP2", ["CNghttp2", .target(name: "Status"), log] + nio),  // "Comment"
      module("Contracts", resources: [.embedInCode("all.bin")]),
      .executableTarget(name: "espd", dependencies: [.product(name: "ArgumentParser", package: "p"), "HTTP2"]),
      tests("HTTP2Tests", ["HTTP2"]),
    ])
    """)

  @Test(
    "planted: all forms of a declaration are read",
    arguments: [
      ("CNghttp2", []), ("CContracts", ["CProtobufC"]), ("Status", []), ("Contracts", []), ("HTTP2Tests", ["HTTP2"]),
      ("HTTP2", ["CNghttp2", "Logging", "NIOCore", "NIOPosix", "Status"]), ("espd", ["ArgumentParser", "HTTP2"]),
    ])
  func reading(target: String, dependencies: [String]) {
    #expect(Self.planted.targets.count == 7)
    #expect(Self.planted.targets[target]?.dependencies.sorted() == dependencies)
  }

  @Test("planted: imported but not declared, declared but not imported, no target") func plantedDependencies() {
    let files = [
      SourceFile(
        "Sources/HTTP2/A.swift", "import CNghttp2\nimport Logging\nimport NIOCore\nimport NIOPosix\nimport Glibc"),
      SourceFile("Sources/Status/A.swift", "import HTTPCore"), SourceFile("Sources/Extra/A.swift", "// Extra."),
    ]
    #expect(
      ManifestRules.dependencies(files, Self.planted).map(\.message) == [
        "module Extra has a folder but no target", "HTTP2 declares Status, imported nowhere",
        "Status imports HTTPCore, not declared here",
      ])
  }

  @Test("planted: tests that never run") func plantedTests() {
    let files = [SourceFile("Tests/RPCTests/A.swift", ""), SourceFile("Tests/HTTP2Tests/A.swift", "")]
    #expect(
      ManifestRules.testTargets(files, Self.planted).map(\.message) == [
        "Tests/RPCTests has no target: its tests never run"
      ])
  }
}
