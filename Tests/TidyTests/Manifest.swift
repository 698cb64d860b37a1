// What Package.swift declares, read from its text.

/// The targets of Package.swift with the modules and products that each names.
///
/// Read from the text rather than asked of SwiftPM, which would take seconds and a lock. Known forms: calls whose first
/// argument is the name as a literal (`module("X", [...])`, `.target(name: "X", dependencies: [...])`), and constants
/// that hold products (`let nio: [Target.Dependency] = [.product(name: ...)]`).
struct Manifest {
  struct Target {
    var line: Int
    var dependencies: Set<String>
  }

  private(set) var targets: [String: Target] = [:]
  private let source: [UInt8]
  private let code: SwiftCode
  private var constants: [String: Set<String>] = [:]

  static let calls = [
    "module", "executable", "tests", "library", "target", "executableTarget", "testTarget", "systemLibrary",
  ]

  init(_ text: String) {
    source = Array(text.utf8)
    code = SwiftCode(text)
    for offset in code.offsets(ofWord: "let") { readConstant(at: offset) }
    let offsets = Self.calls.flatMap { call in code.offsets(ofWord: call).map { $0 + call.utf8.count } }.sorted()
    var end = 0  // a `.target(name:)` within the dependencies of another is no declaration
    for offset in offsets where offset >= end {
      end = readTarget(open: offset) ?? end
    }
  }

  /// Returns the end of the call, nil when it declares no target by a literal.
  private mutating func readTarget(open: Int) -> Int? {
    guard open < source.count, code.bytes[open] == UInt8(ascii: "("), let close = code.closing(open) else { return nil }
    var parts = arguments(in: (open + 1)..<close)
    guard let first = parts.first, let name = literals(in: first).first, startsWithName(first) else { return nil }
    parts.removeFirst()
    let dependencies = parts.first { label(of: $0) == nil || label(of: $0) == "dependencies" }
    targets[name] = Target(line: code.line(at: open), dependencies: dependencies.map(names) ?? [])
    return close
  }

  /// `let nio = ...product(name: "NIOCore", ...)`, up to the end of the line or of the bracket that it opens.
  private mutating func readConstant(at offset: Int) {
    let start = code.skipSpace(from: offset + 3)
    let name = code.bytes[start...].prefix { SwiftCode.isNameByte($0) }
    guard let equals = code.bytes[start...].firstIndex(of: UInt8(ascii: "=")) else { return }
    let value = code.skipSpace(from: equals + 1)
    // A list, or a member of Target.Dependency: not the package itself.
    guard value < code.bytes.count, [UInt8(ascii: "["), UInt8(ascii: ".")].contains(code.bytes[value]) else { return }
    let line = code.bytes[value...].firstIndex(of: UInt8(ascii: "\n")) ?? code.bytes.count
    let bracket = code.bytes[value..<line].firstIndex { $0 == UInt8(ascii: "[") || $0 == UInt8(ascii: "(") }
    let end = bracket.flatMap(code.closing) ?? line
    constants[String(decoding: name, as: UTF8.self)] = literalNames(in: value..<max(value, end))
  }

  /// The ranges between the commas of an argument list.
  private func arguments(in range: Range<Int>) -> [Range<Int>] {
    var parts: [Range<Int>] = []
    var start = range.lowerBound
    var offset = start
    while offset < range.upperBound {
      switch code.bytes[offset] {
      case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"): offset = code.closing(offset) ?? offset
      case UInt8(ascii: ","):
        parts.append(start..<offset)
        start = offset + 1
      default: break
      }
      offset += 1
    }
    if start < range.upperBound { parts.append(start..<range.upperBound) }
    return parts
  }

  private func startsWithName(_ part: Range<Int>) -> Bool {
    code.bytes[code.skipSpace(from: part.lowerBound)] == UInt8(ascii: "\"") || label(of: part) == "name"
  }

  private func label(of part: Range<Int>) -> String? {
    let start = code.skipSpace(from: part.lowerBound)
    let name = code.bytes[start..<part.upperBound].prefix { SwiftCode.isNameByte($0) }
    guard !name.isEmpty, name.endIndex < part.upperBound, code.bytes[name.endIndex] == UInt8(ascii: ":") else {
      return nil
    }
    return String(decoding: name, as: UTF8.self)
  }

  /// The names in a dependency list: literals, and what its constants hold.
  private func names(in part: Range<Int>) -> Set<String> {
    let words = String(decoding: code.bytes[part], as: UTF8.self).split { !$0.isLetter && !$0.isNumber && $0 != "_" }
    return words.reduce(into: literalNames(in: part)) { $0.formUnion(constants[String($1)] ?? []) }
  }

  /// All literals but those that follow `package:`, which name where a product comes from.
  private func literalNames(in range: Range<Int>) -> Set<String> {
    Set(literals(in: range, skippingLabel: "package:"))
  }

  private func literals(in range: Range<Int>, skippingLabel: String? = nil) -> [String] {
    var found: [String] = []
    var offset = range.lowerBound
    while let open = code.bytes[offset..<range.upperBound].firstIndex(of: UInt8(ascii: "\"")),
      let close = code.bytes[(open + 1)..<range.upperBound].firstIndex(of: UInt8(ascii: "\""))
    {
      let before = String(decoding: code.bytes[range.lowerBound..<open], as: UTF8.self)
      if skippingLabel.map({ before.trimmingSuffix { $0 == " " }.hasSuffix($0) }) != true {
        found.append(String(decoding: source[(open + 1)..<close], as: UTF8.self))
      }
      offset = close + 1
    }
    return found
  }
}

extension String {
  fileprivate func trimmingSuffix(while predicate: (Character) -> Bool) -> Substring {
    var rest = self[...]
    while let last = rest.last, predicate(last) { rest.removeLast() }
    return rest
  }
}
