// The module arrows of ARCHITECTURE.md 2.
import Testing

@Suite("Imports") struct ImportRulesTests {
  static let table = ModuleTable(
    modules: [
      "CNghttp2": Module(line: 0), "Status": Module(line: 1),
      "HTTP2": Module(line: 2, modules: ["CNghttp2", "Status"], others: ["NIOCore"]), "RPC": Module(line: 2),
    ],
    fences: ["CNghttp2": "HTTP2"])

  @Test("each module imports only what its row of the table allows") func arrows() {
    expectNone(ImportRules.arrows(SourceTree.project.files, .project))
  }

  @Test("a C library is imported by its fence module only") func fences() {
    expectNone(ImportRules.fences(SourceTree.project.files, .project))
  }

  @Test("the table's own arrows point down") func tableItself() {
    #expect(ImportRules.table(.project).isEmpty)
  }

  @Test(
    "planted: an arrow up or sideways, in every spelling of import",
    arguments: [
      "import HTTP2", "package import HTTP2", "@preconcurrency import HTTP2", "import struct HTTP2.HTTP2Session",
      "internal import HTTP2  // why",
    ])
  func plantedArrow(line: String) {
    let file = SourceFile("Sources/RPC/RPCRouter.swift", "// Routes.\n\(line)\n")
    #expect(ImportRules.arrows([file], Self.table).map(\.line) == [2])
  }

  @Test("planted: allowed imports, and words that only look like one, pass") func allowed() {
    let file = SourceFile(
      "Sources/HTTP2/HTTP2Session.swift",
      "// import RPC\nimport CNghttp2\nimport NIOCore\npackage import Status\nlet a = \"import RPC\"\nlet important"
    )
    #expect(file.imports.map(\.module) == ["CNghttp2", "NIOCore", "Status"])
    #expect(ImportRules.arrows([file], Self.table).isEmpty)
  }

  @Test("planted: a module that is not in the table") func unknownModule() {
    let found = ImportRules.arrows([SourceFile("Sources/Extras/Extras.swift", "// Extras.\n")], Self.table)
    #expect(found.first?.message.contains("add it to") == true)
  }

  @Test("planted: a C library outside its fence, known or not; the fence and its tests may") func plantedFence() {
    let files = [
      SourceFile("Sources/HTTP2/A.swift", "import CNghttp2"), SourceFile("Tests/HTTP2Tests/A.swift", "import CNghttp2"),
      SourceFile("Sources/RPC/A.swift", "import CNghttp2"), SourceFile("Tests/RPCTests/A.swift", "import CNghttp2"),
      SourceFile("Sources/RPC/B.swift", "import CSurprise"),
    ]
    #expect(
      ImportRules.fences(files, Self.table).map(\.path)
        == ["Sources/RPC/A.swift", "Tests/RPCTests/A.swift", "Sources/RPC/B.swift"])
  }

  @Test("planted: a table with an arrow up, a second door and a core module that uses Foundation") func plantedTable() {
    var table = Self.table
    table.modules["Status"] = Module(line: 1, modules: ["RPC"], others: ["Foundation"])
    table.modules["RPC"] = Module(line: 2, modules: ["CNghttp2", "Nowhere"])
    #expect(
      ImportRules.table(table) == [
        "RPC imports Nowhere, which is not in the table", "RPC is not CNghttp2's fence",
        "Status -> RPC does not point down", "Status is core and may not use Foundation",
      ])
  }
}

/// Fails once for each violation, so that the log reads like a compiler's.
func expectNone(_ violations: [Violation], sourceLocation: SourceLocation = #_sourceLocation) {
  for violation in violations { Issue.record("\(violation)", sourceLocation: sourceLocation) }
}
