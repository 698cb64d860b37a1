// Habits that hide a failure.

enum CareRules {
  /// `try!` turns an operating error into a crash without a word.
  static func forcedTry(_ files: [SourceFile]) -> [Violation] {
    swift(files).flatMap { file in
      file.code.offsets(ofWord: "try").filter {
        $0 + 3 < file.code.bytes.count && file.code.bytes[$0 + 3] == UInt8(ascii: "!")
      }
      .map {
        file.violation(file.code.line(at: $0), "try! crashes without a word: throw, or precondition with a sentence")
      }
    }
  }

  /// An empty `catch` loses the error; a deliberate `try?` says why in a comment.
  static func emptyCatch(_ files: [SourceFile]) -> [Violation] {
    swift(files).flatMap { file in
      file.code.offsets(ofWord: "catch").filter { offset in
        guard let open = file.code.bytes[offset...].firstIndex(of: UInt8(ascii: "{")) else { return false }
        return file.code.closing(open) == file.code.skipSpace(from: open + 1)
      }.map { file.violation(file.code.line(at: $0), "an empty catch loses the error") }
    }
  }

  /// Programs print, modules log. `programs` are the modules that are executables.
  static func printing(_ files: [SourceFile], programs: Set<String>) -> [Violation] {
    files.filter { $0.isSwift && $0.isProduct && !programs.contains($0.module ?? "") }.flatMap { file in
      ["print", "debugPrint", "dump"].flatMap { calls(of: $0, in: file) }.map {
        file.violation(file.code.line(at: $0), "a module logs; only programs print")
      }
    }
  }

  /// Words that stand for work left undone: do it, or write it where work is planned.
  static func marks(_ files: [SourceFile]) -> [Violation] {
    files.filter { !$0.isGenerated }.flatMap { file in
      file.lines.enumerated().filter { line in
        marks.contains { line.element.contains($0) }  // cheap; the split is not
          && line.element.split { !$0.isLetter && !$0.isNumber }.contains { marks.contains(String($0)) }
      }.map { file.violation($0.offset + 1, "a mark of work left undone") }
    }
  }

  /// In two halves, so that this file does not break its own rule.
  static let marks = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]

  /// What stops the process says why, in a sentence.
  static func traps(_ files: [SourceFile]) -> [Violation] {
    files.filter { $0.isSwift && $0.isProduct && !$0.isGenerated }.flatMap { file in
      ["fatalError", "preconditionFailure", "precondition"].flatMap { calls(of: $0, in: file) }.sorted().filter {
        offset in
        guard let open = file.code.bytes[offset...].firstIndex(of: UInt8(ascii: "(")),
          let close = file.code.closing(open)
        else { return true }
        guard let quote = file.code.bytes[open..<close].firstIndex(of: UInt8(ascii: "\"")) else { return true }
        let text = Array(file.text.utf8)[quote..<close]
        return text.count { $0 == UInt8(ascii: " ") } < 2
      }.map { file.violation(file.code.line(at: $0), "what stops the process says why, in a sentence") }
    }
  }

  private static func swift(_ files: [SourceFile]) -> [SourceFile] { files.filter { $0.isSwift && !$0.isGenerated } }

  /// Calls of a free function: neither `x.name(` nor `func name(`.
  private static func calls(of name: String, in file: SourceFile) -> [Int] {
    let bytes = file.code.bytes
    return file.code.offsets(ofWord: name).filter { offset in
      let end = offset + name.utf8.count
      guard end < bytes.count, bytes[end] == UInt8(ascii: "(") else { return false }
      let isMember = offset > 0 && bytes[offset - 1] == UInt8(ascii: ".")
      return !isMember && !bytes[..<offset].suffix(5).elementsEqual("func ".utf8)
    }
  }
}
