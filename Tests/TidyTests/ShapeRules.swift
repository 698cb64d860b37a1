// How long things may be, and how a file begins (STYLE: a file is read in one sitting, a function on one screen).

enum ShapeRules {
  static let maximumFileLines = 400
  /// Above this a file says why in its first comment.
  static let explainedFileLines = 300
  static let maximumLineColumns = 120
  static let maximumBodyLines = 70

  static func fileLengths(_ files: [SourceFile]) -> [Violation] {
    handwritten(files).compactMap { file in
      let count = file.lines.count
      if count > maximumFileLines { return file.violation(count, "\(count) lines: at most \(maximumFileLines)") }
      let opening = file.lines.prefix { $0.hasPrefix("//") }.joined(separator: " ")
      guard count > explainedFileLines, !opening.contains("long because ") else { return nil }
      return file.violation(
        1, "\(count) lines: above \(explainedFileLines) the first comment says \"long because ...\"")
    }
  }

  static func lineLengths(_ files: [SourceFile]) -> [Violation] {
    files.filter { ($0.isSwift || isScript($0)) && !$0.isGenerated }.flatMap { file in
      file.lines.enumerated().filter { $0.element.count > maximumLineColumns }.map {
        file.violation($0.offset + 1, "\($0.element.count) columns: at most \(maximumLineColumns)")
      }
    }
  }

  static func bodyLengths(_ files: [SourceFile]) -> [Violation] {
    handwritten(files).flatMap { file in
      bodies(in: file.code).filter { $0.count > maximumBodyLines }.map {
        file.violation($0.first, "a body of \($0.count) lines: at most \(maximumBodyLines)")
      }
    }
  }

  /// The first line is a comment that says what the file is for; in a script the second, after `#!`.
  static func firstLines(_ files: [SourceFile]) -> [Violation] {
    files.filter { !$0.isGenerated }.compactMap { file in
      if isScript(file) {
        let isCommented = file.lines.count > 1 && file.lines[0].hasPrefix("#!") && file.lines[1].hasPrefix("# ")
        return isCommented ? nil : file.violation(2, "the line after #! is a comment: what is this script for?")
      }
      let suffixes = [".swift", ".h", ".c", ".proto"]
      guard suffixes.contains(where: { file.path.hasSuffix($0) }), !isForeign(file) else { return nil }
      return file.lines.first?.hasPrefix("// ") == true
        ? nil : file.violation(1, "the first line is a comment: what is this file for?")
    }
  }

  private static func handwritten(_ files: [SourceFile]) -> [SourceFile] {
    files.filter { $0.isSwift && !$0.isGenerated }
  }

  private static func isScript(_ file: SourceFile) -> Bool {
    file.path.hasPrefix("scripts/") && !file.path.hasSuffix(".txt") || file.path == ".ci/run"
  }

  /// Published by others and kept as they are.
  private static func isForeign(_ file: SourceFile) -> Bool {
    file.path.hasPrefix("proto/google/") || file.path.hasPrefix("proto/grpc/")
  }

  /// Line of the opening brace, and the lines strictly between the braces, of each function, initializer, subscript
  /// and computed property.
  static func bodies(in code: SwiftCode) -> [(first: Int, count: Int)] {
    code.bytes.indices.filter { code.bytes[$0] == UInt8(ascii: "{") }.compactMap { open in
      guard isFunction(header(of: open, in: code)), let close = code.closing(open) else { return nil }
      let first = code.line(at: open)
      return (first, code.line(at: close) - first - 1)
    }
  }

  /// What stands before a brace, back to the brace before it.
  private static func header(of open: Int, in code: SwiftCode) -> ArraySlice<UInt8> {
    let previous = code.bytes[..<open].lastIndex { $0 == UInt8(ascii: "{") || $0 == UInt8(ascii: "}") }
    return code.bytes[(previous.map { $0 + 1 } ?? 0)..<open]
  }

  /// The last word outside parentheses that can introduce a brace decides.
  private static func isFunction(_ header: ArraySlice<UInt8>) -> Bool {
    var depth = 0
    var word = ""
    var beforeWord: UInt8 = 0
    var previous: UInt8 = 0
    var decision = false
    for byte in header + [UInt8(ascii: " ")] {
      if SwiftCode.isNameByte(byte) {
        if word.isEmpty { beforeWord = previous }
        word.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        if depth == 0, beforeWord != UInt8(ascii: "."), let isFunction = introducers[word] { decision = isFunction }
        word = ""
        if byte == UInt8(ascii: "(") || byte == UInt8(ascii: "[") { depth += 1 }
        if byte == UInt8(ascii: ")") || byte == UInt8(ascii: "]") { depth -= 1 }
      }
      previous = byte
    }
    return decision
  }

  private static let introducers: [String: Bool] = [
    "func": true, "init": true, "deinit": true, "subscript": true, "var": true,
    "struct": false, "class": false, "enum": false, "actor": false, "protocol": false, "extension": false, "let": false,
    "if": false, "for": false, "while": false, "guard": false, "switch": false, "do": false, "catch": false,
  ]
}
