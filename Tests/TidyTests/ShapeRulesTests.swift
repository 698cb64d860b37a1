// Lengths and beginnings.
import Testing

@Suite("Shape") struct ShapeRulesTests {
  @Test("no file has more than 400 lines, and above 300 it says why") func fileLengths() {
    expectNone(ShapeRules.fileLengths(SourceTree.project.files))
  }

  @Test("no line has more than 120 columns") func lineLengths() {
    expectNone(ShapeRules.lineLengths(SourceTree.project.files))
  }

  @Test("no function has more than 70 lines") func bodyLengths() {
    expectNone(ShapeRules.bodyLengths(SourceTree.project.files))
  }

  @Test("each file begins with what it is for") func firstLines() {
    expectNone(ShapeRules.firstLines(SourceTree.project.files))
  }

  static func file(lines: Int, first: String = "// A file.", path: String = "Sources/RPC/A.swift") -> SourceFile {
    SourceFile(path, first + "\n" + String(repeating: "let a = 1\n", count: lines - 1))
  }

  @Test("planted: files at the limits and one line beyond") func plantedFiles() {
    let excused = "// Two tables.\n// It is long because they are compared by eye."
    #expect(ShapeRules.fileLengths([Self.file(lines: 300), Self.file(lines: 399, first: excused)]).isEmpty)
    #expect(ShapeRules.fileLengths([Self.file(lines: 301)]).count == 1)
    #expect(ShapeRules.fileLengths([Self.file(lines: 400, first: excused)]).map(\.line) == [401])
    #expect(ShapeRules.fileLengths([Self.file(lines: 900, path: "Sources/Contracts/Generated/A.swift")]).isEmpty)
  }

  @Test("planted: a line of 121 columns, in letters and not in bytes") func plantedLines() {
    let source = String(repeating: "é", count: 120) + "\n" + String(repeating: "x", count: 121)
    #expect(ShapeRules.lineLengths([SourceFile("Tests/RPCTests/A.swift", source)]).map(\.line) == [2])
    #expect(ShapeRules.lineLengths([SourceFile("docs/a.md", source)]).isEmpty)
  }

  @Test(
    "planted: bodies of 70 and 71 lines",
    arguments: [
      "func a() {", "package init(_ b: [Int] = [],\n  c: Int) async throws {", "var a: Int {", "deinit {",
      "subscript(a: Int) -> Int {", "func a<T>(_ b: (T) -> Void) rethrows -> [T: Int] where T: Hashable {",
      "class func a() {", "struct B {\n  let c = 1\n  func a() {",
    ])
  func plantedBodies(opening: String) {
    func found(_ lines: Int) -> Int {
      let closing = opening.hasPrefix("struct") ? "}\n}\n" : "}\n"
      let source = opening + "\n" + String(repeating: "  work { $0 }\n", count: lines) + closing
      return ShapeRules.bodyLengths([SourceFile("Sources/RPC/A.swift", source)]).count
    }
    #expect(found(70) == 0)
    #expect(found(71) == 1)
  }

  @Test(
    "planted: types, protocols and texts with braces are no functions",
    arguments: [
      "struct A {", "enum A {\n  var b: Int { 1 }\n  static let c = 2\n", "extension A: B {\n  init() {}\n",
      "protocol A {\n  func b() -> Int\n  func c()\n", "let table = {", "struct A {\n  var b = 1\n  struct C {}\n",
    ])
  func notFunctions(opening: String) {
    let source = opening + "\n" + String(repeating: "  let a = \"{\"\n", count: 90) + "}\n"
    #expect(ShapeRules.bodyLengths([SourceFile("Sources/RPC/A.swift", source)]).isEmpty)
  }

  @Test(
    "planted: files that begin without a word",
    arguments: [
      ("Sources/RPC/A.swift", "import NIOCore\n", 1), ("Sources/RPC/A.swift", "", 1),
      ("Sources/RPC/A.swift", "// A.\n", 0),
      ("Sources/CNghttp2/shim.h", "#include <x.h>\n", 1), ("proto/esp/v1/a.proto", "syntax = \"proto3\";\n", 1),
      ("proto/google/rpc/a.proto", "syntax = \"proto3\";\n", 0), ("scripts/run", "#!/usr/bin/env bash\nset -e\n", 1),
      ("scripts/run", "#!/usr/bin/env bash\n# Runs.\n", 0), ("Sources/CContracts/a.pb-c.h", "#include <x.h>\n", 0),
    ])
  func plantedFirstLines(path: String, text: String, count: Int) {
    #expect(ShapeRules.firstLines([SourceFile(path, text)]).count == count)
  }
}
