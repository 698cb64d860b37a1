// The scanner that all rules stand on.
import Testing

@Suite("What counts as code") struct SwiftCodeTests {
  @Test(
    "comments and texts are blanked, code in an interpolation is not",
    arguments: [
      ("a // b", "a     "),
      ("a /* b /* c */ d */ e", "a                   e"),
      (#"f("text")"#, #"f("    ")"#),
      (#""a\"b" c"#, #""    " c"#),
      (#""a\(name(1) + 2)b" c"#, #"" \(name(1) + 2) " c"#),
      (#""a\("in" + x)b""#, #"" \("  " + x) ""#),
      ("\"\"\"\n\"quoted\" text\n\"\"\" z", "\"\"\"\n             \n\"\"\" z"),
      ("#\"a\"b\\(c)\"# d", "#\"       \"# d"),
      ("#\"a\\#(c)\"# d", "#\" \\#(c)\"# d"),
      ("#/a\"b/# c", "#/   /# c"),
      ("\"\" a", "\"\" a"),
      ("#if x", "#if x"),
    ])
  func masking(source: String, code: String) {
    #expect(String(decoding: SwiftCode(source).bytes, as: UTF8.self) == code)
  }

  @Test("a word is found by itself only") func words() {
    #expect(SwiftCode("print(x); reprint(x); printed(x); a.print").offsets(ofWord: "print") == [0, 36])
  }
}
