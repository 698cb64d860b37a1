// What is unsafe stays behind its fence, and each promise to the compiler gives its reason.

enum FenceRules {
  /// The word `unsafe`, as the compiler's strict memory safety wants it, stands in fence files only.
  static func unsafeWord(_ files: [SourceFile], _ fences: [Fence]) -> [Violation] {
    files.filter { $0.isSwift && $0.isProduct }.flatMap { file -> [Violation] in
      if fences.contains(where: { $0.covers(file.path) }) { return [] }
      return unsafeOffsets(file).map {
        file.violation(file.code.line(at: $0), "unsafe outside a fence: see Tests/TidyTests/FenceTable.swift")
      }
    }
  }

  /// A row of the table that no file needs any more is a door left open. Modules yet to come are not looked at.
  static func idleFences(_ files: [SourceFile], _ fences: [Fence]) -> [String] {
    fences.filter { fence in
      let module = SourceFile(fence.files, "").module
      let isBuilt = files.contains { $0.isSwift && $0.isProduct && $0.module == module }
      return isBuilt && !files.contains { fence.covers($0.path) && !unsafeOffsets($0).isEmpty }
    }.map(\.files)
  }

  /// `nonisolated(unsafe)` and `unowned(unsafe)` are about isolation and lifetime: `promises` looks at the former.
  private static func unsafeOffsets(_ file: SourceFile) -> [Int] {
    file.code.offsets(ofWord: "unsafe").filter { file.code.byte(before: $0) != UInt8(ascii: "(") }
  }

  /// `@unchecked Sendable` is followed by the line `// @unchecked because ...`; `nonisolated(unsafe)` has a comment
  /// with "because" on its line or beside it.
  static func promises(_ files: [SourceFile]) -> [Violation] {
    files.filter { $0.isSwift && !$0.isGenerated }.flatMap { file -> [Violation] in
      zip(file.code.lines, file.lines).enumerated().compactMap { index, line -> Violation? in
        let next = index + 1 < file.lines.count ? file.lines[index + 1].drop { $0 == " " } : ""
        if line.0.contains("@unchecked"), !next.hasPrefix("// @unchecked because ") {
          return file.violation(index + 1, "the next line must say: // @unchecked because ...")
        }
        let around = file.lines[max(0, index - 1)...min(index + 1, file.lines.count - 1)]
        if line.0.contains("nonisolated(unsafe)"), !around.contains(where: isReason) {
          return file.violation(index + 1, "nonisolated(unsafe) needs a comment with its reason: // ... because ...")
        }
        return nil
      }
    }
  }

  private static func isReason(_ line: String) -> Bool { line.contains("//") && line.contains("because ") }

  /// Pointers cross no module: the compiler refuses C types in a `package` signature, but not these.
  static func signatures(_ files: [SourceFile]) -> [Violation] {
    files.filter { $0.isSwift && $0.isProduct && !$0.isGenerated }.flatMap { file -> [Violation] in
      ["package", "public"].flatMap { file.code.offsets(ofWord: $0) }.sorted().compactMap { offset -> Violation? in
        let words = declaration(in: file.code, at: offset).split { !$0.isLetter && !$0.isNumber }
        guard let pointer = words.first(where: isPointer) else { return nil }
        return file.violation(file.code.line(at: offset), "\(pointer) in a signature that other modules see")
      }
    }
  }

  private static func isPointer(_ word: Substring) -> Bool {
    word == "OpaquePointer" || word == "Unmanaged" || word.hasPrefix("Unsafe")
  }

  /// From the access level to the body, the value or the end of the line; a `(` goes on over lines.
  private static func declaration(in code: SwiftCode, at start: Int) -> String {
    var offset = start
    scan: while offset < code.bytes.count {
      switch code.bytes[offset] {
      case UInt8(ascii: "("), UInt8(ascii: "["): offset = code.closing(offset) ?? offset
      case UInt8(ascii: "{"), UInt8(ascii: "="): break scan
      case UInt8(ascii: "\n"):
        let next = code.bytes[code.skipSpace(from: offset)...].prefix(2)
        if !next.elementsEqual("->".utf8), !next.elementsEqual("th".utf8) { break scan }
      default: break
      }
      offset += 1
    }
    return String(decoding: code.bytes[start..<min(offset, code.bytes.count)], as: UTF8.self)
  }
}
