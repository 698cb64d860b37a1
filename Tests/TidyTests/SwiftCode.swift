// Swift source with all that is not code blanked, so that a rule never finds its word in a comment or in a text.

/// Code bytes (UTF-8), same length and lines as the source. Comments and the contents of string literals are spaces;
/// the quotes stay, and so does the code inside `\( )`.
///
/// Regex literals are known in their `#/ /#` form only: the bare form cannot be told from a division without a parser.
struct SwiftCode: Sendable {
  let bytes: [UInt8]

  init(_ source: String) {
    var mask = Mask(source: Array(source.utf8))
    mask.run()
    bytes = mask.code
  }

  /// The code of each line, for rules that look at lines.
  var lines: [String] {
    bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map {
      String(decoding: $0, as: UTF8.self)
    }
  }

  /// Where a word stands by itself, not as a part of a longer name: offsets into `bytes`.
  func offsets(ofWord word: String) -> [Int] {
    let pattern = Array(word.utf8)
    guard !pattern.isEmpty, bytes.count >= pattern.count else { return [] }
    return (0...(bytes.count - pattern.count)).filter { start in
      bytes[start] == pattern[0] && bytes[start..<(start + pattern.count)].elementsEqual(pattern)
        && !(start > 0 && Self.isNameByte(bytes[start - 1]))
        && !(start + pattern.count < bytes.count && Self.isNameByte(bytes[start + pattern.count]))
    }
  }

  /// The line, from 1, of an offset.
  func line(at offset: Int) -> Int { bytes[..<offset].count { $0 == UInt8(ascii: "\n") } + 1 }

  /// The first offset from `start` that holds neither space nor newline.
  func skipSpace(from start: Int) -> Int {
    bytes[start...].firstIndex { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\n") } ?? bytes.count
  }

  /// The last code byte before `offset` that is neither space nor newline.
  func byte(before offset: Int) -> UInt8? {
    bytes[..<offset].last { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\n") }
  }

  /// The offset of the bracket that closes the one at `start`; nil when it is not closed.
  func closing(_ start: Int) -> Int? {
    var depth = 0
    for offset in start..<bytes.count {
      switch bytes[offset] {
      case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
      case UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
      default: break
      }
      if depth == 0 { return offset }
    }
    return nil
  }

  static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...: true
    default: false
    }
  }
}

/// The scanner behind `SwiftCode`.
private struct Mask {
  /// A string literal that is open: its delimiter, and how many parentheses are open in its interpolation.
  struct Literal {
    var quotes: Int
    var hashes: Int
    var depth = 0
  }

  let source: [UInt8]
  var code: [UInt8]
  var index = 0
  var literals: [Literal] = []
  /// In the text of `literals.last`; otherwise in code, perhaps that of an interpolation.
  var isText = false

  init(source: [UInt8]) {
    self.source = source
    code = source
  }

  mutating func run() {
    while index < source.count {
      if isText { scanText() } else { scanCode() }
    }
  }

  private mutating func scanCode() {
    if starts(with: "//") {
      blank { $0.source[$0.index] == UInt8(ascii: "\n") }
    } else if starts(with: "/*") {
      blankBlockComment()
    } else if let literal = openingQuotes() {
      index += literal.hashes + literal.quotes
      literals.append(literal)
      isText = true
    } else if starts(with: "#/") {
      index += 2
      blank { $0.starts(with: "/#") }
    } else {
      countParenthesis()
      index += 1
    }
  }

  private mutating func scanText() {
    guard let literal = literals.last else { return }
    let hashes = String(repeating: "#", count: literal.hashes)
    if starts(with: "\\" + hashes + "(") {
      index += 2 + literal.hashes
      isText = false
    } else if starts(with: "\\" + hashes) {
      blankNext(2 + literal.hashes)
    } else if starts(with: String(repeating: "\"", count: literal.quotes) + hashes) {
      index += literal.quotes + literal.hashes
      literals.removeLast()
      isText = false
    } else {
      blankNext(1)
    }
  }

  /// Ends an interpolation at the parenthesis that closes it.
  private mutating func countParenthesis() {
    guard let last = literals.indices.last else { return }
    switch source[index] {
    case UInt8(ascii: "("): literals[last].depth += 1
    case UInt8(ascii: ")") where literals[last].depth == 0: isText = true
    case UInt8(ascii: ")"): literals[last].depth -= 1
    default: break
    }
  }

  private func openingQuotes() -> Literal? {
    let hashes = source[index...].prefix { $0 == UInt8(ascii: "#") }.count
    let quotes = source[(index + hashes)...].prefix(3).prefix { $0 == UInt8(ascii: "\"") }.count
    guard quotes > 0 else { return nil }
    return Literal(quotes: quotes == 3 ? 3 : 1, hashes: hashes)
  }

  private mutating func blankBlockComment() {
    var depth = 0
    repeat {
      if starts(with: "/*") {
        depth += 1; blankNext(2)
      } else if starts(with: "*/") {
        depth -= 1; blankNext(2)
      } else {
        blankNext(1)
      }
    } while depth > 0 && index < source.count
  }

  private mutating func blank(until isEnd: (Self) -> Bool) {
    while index < source.count, !isEnd(self) { blankNext(1) }
  }

  private mutating func blankNext(_ count: Int) {
    for offset in index..<min(index + count, source.count) where source[offset] != UInt8(ascii: "\n") {
      code[offset] = UInt8(ascii: " ")
    }
    index = min(index + count, source.count)
  }

  private func starts(with text: String) -> Bool { source[index...].starts(with: text.utf8) }
}
