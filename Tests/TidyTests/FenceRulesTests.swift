// CONTRIBUTING.md, "Fences".
import Testing

@Suite("Fences") struct FenceRulesTests {
  @Test("the word unsafe stands in fence files only") func unsafeWord() {
    expectNone(FenceRules.unsafeWord(SourceTree.project.files, Fence.project))
  }

  @Test("each fence has its reason and is still needed") func idleFences() {
    #expect(FenceRules.idleFences(SourceTree.project.files, Fence.project).isEmpty)
    #expect(Fence.project.allSatisfy { $0.reason.contains(" ") })
  }

  @Test("@unchecked Sendable and nonisolated(unsafe) say why") func promises() {
    expectNone(FenceRules.promises(SourceTree.project.files))
  }

  @Test("no pointer type stands in a signature that other modules see") func signatures() {
    expectNone(FenceRules.signatures(SourceTree.project.files))
  }

  static let fences = [Fence(files: "Sources/HTTP2/HTTP2Session*.swift", reason: "owns the session")]

  @Test("planted: unsafe outside the fence; comments, texts, names and nonisolated(unsafe) are not meant") func word() {
    let source =
      "// unsafe\nlet a = \"unsafe\"\nlet unsafeCount = 1\nnonisolated(unsafe) var b = 1\nlet c = unsafe f()\n"
    let files = [
      SourceFile("Sources/HTTP2/HTTP2Handler.swift", source), SourceFile("Sources/HTTP2/HTTP2Session+C.swift", source),
      SourceFile("Tests/HTTP2Tests/A.swift", source),
    ]
    #expect(FenceRules.unsafeWord(files, Self.fences).map(\.description).count == 1)
    #expect(FenceRules.unsafeWord(files, Self.fences).first?.line == 5)
  }

  @Test("planted: a fence that nobody needs, once its module is there") func idle() {
    let calm = SourceFile("Sources/HTTP2/HTTP2Session.swift", "let a = 1")
    let other = SourceFile("Sources/RPC/A.swift", "let a = 1")
    #expect(FenceRules.idleFences([calm], Self.fences) == ["Sources/HTTP2/HTTP2Session*.swift"])
    #expect(FenceRules.idleFences([other], Self.fences).isEmpty)
  }

  @Test(
    "planted: promises with and without their reason",
    arguments: [
      ("final class A: @unchecked Sendable {\n  // @unchecked because its loop owns it.\n}", []),
      ("final class A: @unchecked Sendable {\n  var a = 1\n}", [1]),
      ("// @unchecked because I say so, above.\nfinal class A: @unchecked Sendable {}", [2]),
      ("// Read once, because C sets it before main.\nnonisolated(unsafe) let a = b", []),
      ("let a = 1\nnonisolated(unsafe) let b = 2\nlet c = 3", [2]),
    ])
  func plantedPromises(source: String, lines: [Int]) {
    #expect(FenceRules.promises([SourceFile("Sources/RPC/A.swift", source)]).map(\.line) == lines)
  }

  @Test(
    "planted: pointers in signatures",
    arguments: [
      ("package let raw: OpaquePointer", 1), ("package func a(\n  b: UnsafeRawPointer\n) {}", 1),
      ("package func a()\n  -> UnsafeMutablePointer<Int>\n{}", 1),
      ("@inlinable package init(_ a: UnsafeBufferPointer<Int>)", 1),
      ("package func a(_ span: Span<UInt8>) { let b: OpaquePointer }", 0), ("private let raw: OpaquePointer", 0),
      ("package struct A {\n  private let raw: OpaquePointer\n}", 0),
    ])
  func plantedSignatures(source: String, count: Int) {
    #expect(FenceRules.signatures([SourceFile("Sources/RPC/A.swift", source)]).count == count)
  }
}
