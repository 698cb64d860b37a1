// STYLE 8: programmer errors trap with a sentence, operating errors are thrown, nothing is lost on the way.
import Testing

@Suite("Care") struct CareRulesTests {
  static let programs = Set(ModuleTable.project.modules.filter { $0.value.line == 6 }.keys)

  @Test("no try! stands anywhere") func forcedTry() { expectNone(CareRules.forcedTry(SourceTree.project.files)) }

  @Test("no catch is empty") func emptyCatch() { expectNone(CareRules.emptyCatch(SourceTree.project.files)) }

  @Test("only programs print") func printing() {
    expectNone(CareRules.printing(SourceTree.project.files, programs: Self.programs))
  }

  @Test("no mark of work left undone stands anywhere") func marks() {
    expectNone(CareRules.marks(SourceTree.project.files))
  }

  @Test("what stops the process says why") func traps() { expectNone(CareRules.traps(SourceTree.project.files)) }

  static func file(_ source: String) -> [SourceFile] { [SourceFile("Sources/RPC/A.swift", source)] }

  @Test("planted: try!") func plantedTry() {
    #expect(
      CareRules.forcedTry(Self.file("let a = try! b()\nlet c = try? d()  // why\nlet e = \"try!\"")).map(\.line) == [1])
  }

  @Test("planted: empty catches, with a pattern or a comment inside too") func plantedCatch() {
    let source =
      "do { try a() } catch {}\ndo { try a() } catch is B {\n  // nothing\n}\ndo { try a() } catch { log(error) }\n"
    #expect(CareRules.emptyCatch(Self.file(source)).map(\.line) == [1, 2])
  }

  @Test("planted: printing in a module") func plantedPrint() {
    let source = "print(1)\na.print(2)\nfunc print(_ a: Int) {}\nfingerprint(3)\ndebugPrint(4)\n// print(5)\n"
    #expect(CareRules.printing(Self.file(source), programs: ["espd"]).map(\.line) == [1, 5])
    #expect(CareRules.printing([SourceFile("Sources/espd/A.swift", source)], programs: ["espd"]).isEmpty)
  }

  @Test("planted: marks in comments of any language; longer words pass", arguments: CareRules.marks)
  func plantedMarks(mark: String) {
    let files = [
      SourceFile("scripts/run", "# \(mark): later"), SourceFile("docs/a.md", "a (\(mark)) b"),
      SourceFile("Tests/RPCTests/A.swift", "let template = \"\(mark)\(mark)\""),
    ]
    #expect(CareRules.marks(files).map(\.path) == ["scripts/run", "docs/a.md"])
  }

  @Test(
    "planted: traps with and without a sentence",
    arguments: [
      ("fatalError()", 1), ("fatalError(\"oops\")", 1), ("fatalError(\"the loop has ended\")", 0),
      ("preconditionFailure(text)", 1), ("precondition(a < b)", 1), ("precondition(a < b, \"the batch is full\")", 0),
      ("precondition(\n  a(\"x\"),\n  \"\\(a) is not a day\")", 0), ("loop.preconditionInEventLoop()", 0),
      ("// fatalError()", 0), ("loop.precondition(a)", 0),
    ])
  func plantedTraps(source: String, count: Int) {
    #expect(CareRules.traps(Self.file(source)).count == count)
  }
}
