// Documents against the tree, and the tree against the machine it was written on.
import Testing

@Suite("Tree") struct TreeRulesTests {
  @Test("ARCHITECTURE.md's table has each module, on its line") func architecture() {
    expectNone(TreeRules.architecture(.project, .project))
  }

  @Test("README's table has each folder at the top") func readme() { expectNone(TreeRules.readme(.project)) }

  @Test("no file names a path of one machine or a package index") func machines() {
    expectNone(TreeRules.machines(SourceTree.project.files))
  }

  @Test("at least 80 % of the hand-written lines below Sources are Swift") func swiftShare() {
    #expect(TreeRules.swiftShare(SourceTree.project.files) >= 80)
  }

  @Test("the tree was found and read") func treeIsThere() {
    let paths = SourceTree.project.files.map(\.path)
    #expect(paths.contains("Package.swift"))
    #expect(paths.contains("Tests/TidyTests/TreeRulesTests.swift"))
    #expect(!paths.contains { $0.hasPrefix(".build") || $0.hasPrefix(".git/") })
  }

  @Test("planted: a module missing in the table, and one on a wrong line") func plantedArchitecture() {
    let document = """
      | line | modules | may import |
      |---|---|---|
      | 2 | `HTTP2` (nghttp2), `RPC`; not `Services` | `Status` |
      | 1 | `HTTP1 TLS` | |
      """
    let paths = ["HTTP2", "RPC", "TLS", "Status"].map { SourceFile("Sources/\($0)/A.swift", "// A.") }
    let tree = SourceTree(paths + [SourceFile("ARCHITECTURE.md", document)])
    #expect(
      TreeRules.architecture(tree, .project).map(\.description) == [
        "ARCHITECTURE.md:1: module Status is not in the table of modules",
        "ARCHITECTURE.md:4: module TLS is on line 2 in ModuleTable.swift",
      ])
  }

  @Test("planted: a folder that the README forgets, and no README at all") func plantedReadme() {
    let files = ["Sources/A/B.swift", "docker/Dockerfile", ".ci/run", "Makefile"].map { SourceFile($0, "") }
    let readme = SourceFile(
      "README.md", "The folder `docker/` in prose.\n\n| folder | |\n|---|---|\n| `Sources/` | code |\n")
    #expect(
      TreeRules.readme(SourceTree(files + [readme])).map(\.message) == ["folder docker/ is not in the table of folders"]
    )
    #expect(TreeRules.readme(SourceTree(files)).count == 2)
  }

  @Test("planted: paths of a machine", arguments: TreeRules.folders) func plantedPaths(folder: String) {
    let lines = [
      "cd \(folder)jane/esp", "a=\"\(folder)jane\"", "see docs\(folder)jane", "\(folder)you/esp", "in \(folder) or so",
    ]
    let found = TreeRules.machines([SourceFile("scripts/run", lines.joined(separator: "\n"))])
    #expect(found.map(\.line) == [1, 2])
  }

  @Test("planted: package indexes", arguments: TreeRules.hosts) func plantedHosts(host: String) {
    #expect(TreeRules.machines([SourceFile("docs/a.md", "a\nhttps://\(host)/simple\n")]).map(\.line) == [2])
  }

  @Test("planted: the share counts code by hand only") func plantedShare() {
    let files = [
      SourceFile("Sources/RPC/A.swift", "a\n\n  \nb\nc\n"), SourceFile("Sources/CZlib/shim.h", "x\n"),
      SourceFile("Sources/CContracts/a.pb-c.c", String(repeating: "x\n", count: 99)),
      SourceFile("Sources/Contracts/all.bin", "x\ny\nz\n"), SourceFile("Tests/RPCTests/A.swift", "a\n"),
    ]
    #expect(TreeRules.swiftShare(files) == 75)
  }
}
