// The rules that a field section of a request must keep (RFC 9113 8.1 to 8.3). Pure.
//
// nghttp2 can check these itself; it does so field by field for every request, which costs a seventh of a small call.
// Here a head is checked once and known again (HTTP2HeadReader).
internal import HTTPCore

/// A complete field section of a request: its head, or its trailers. A class: requests with the same head share it for
/// one reference count, where its parts took four.
final class HTTP2Head {
  /// What delegates see.
  let request: HTTPRequestHead
  /// False: a stream error PROTOCOL_ERROR (RFC 9113 8.1.1).
  let isWellFormed: Bool
  /// Announced bytes of the body; DATA that does not add up to it is malformed.
  let contentLength: Int?
  /// More than the limit; `request` has only a part of it.
  let isTooLarge: Bool

  init(fields: HTTPFields, areTrailers: Bool, isTooLarge: Bool = false) {
    var rules = FieldRules(areTrailers: areTrailers)
    fields.forEach { rules.check(name: $0, value: $1) }
    contentLength = rules.contentLength
    var request = HTTPRequestHead()
    request.fields = fields
    isWellFormed = rules.areKept && (areTrailers || request.namesOneAuthority)
    request.memo = HTTPHeadMemo()
    self.request = request
    self.isTooLarge = isTooLarge
  }
}

/// What has been seen of a field section so far.
private struct FieldRules {
  private struct Pseudo: OptionSet {
    let rawValue: UInt8
    static let method = Pseudo(rawValue: 1)
    static let scheme = Pseudo(rawValue: 2)
    static let authority = Pseudo(rawValue: 4)
    static let path = Pseudo(rawValue: 8)
  }

  private let areTrailers: Bool
  private var isMalformed = false
  private var seen: Pseudo = []
  private var isConnect = false
  private var isOptions = false
  private var pathIsAsterisk = false
  private var pathIsAbsolute = false
  private var hasRegular = false
  private var hasHost = false
  private(set) var contentLength: Int?

  init(areTrailers: Bool) { self.areTrailers = areTrailers }

  /// To be asked when all fields have come.
  var areKept: Bool {
    if isMalformed { return false }
    if areTrailers { return true }
    // CONNECT has no scheme and no path (8.5); all others have both, and a method, and name their host (8.3.1).
    if isConnect { return seen == [.method, .authority] }
    guard seen.isSuperset(of: [.method, .scheme, .path]), hasHost || seen.contains(.authority) else { return false }
    return pathIsAbsolute || isOptions && pathIsAsterisk
  }

  mutating func check(name: Span<UInt8>, value: Span<UInt8>) {
    guard !name.isEmpty, Self.isLegal(value: value) else { return isMalformed = true }
    if name[0] == UInt8(ascii: ":") { return checkPseudo(name, value) }
    hasRegular = true
    guard Self.isLegal(name: name) else { return isMalformed = true }
    switch name.count {
    case 2 where name.matches("te"): if !value.matches("trailers") { isMalformed = true }
    case 4 where name.matches("host"):
      if hasHost || !Self.isAuthority(value) { isMalformed = true }
      hasHost = true
    // Of HTTP/1.1's connection (8.2.2).
    case 7 where name.matches("upgrade"), 10 where name.matches("connection") || name.matches("keep-alive"),
         16 where name.matches("proxy-connection"), 17 where name.matches("transfer-encoding"):
      isMalformed = true
    case 14 where name.matches("content-length"):
      // Twice is once too often, and so is anything but digits (8.1.1; RFC 9110 8.6).
      guard contentLength == nil, let length = Self.number(value) else { return isMalformed = true }
      contentLength = length
    default: break
    }
  }

  /// Before all others, each once, none that is not known, none in trailers (8.3).
  private mutating func checkPseudo(_ name: Span<UInt8>, _ value: Span<UInt8>) {
    let field: Pseudo
    if name.matches(":path") {
      field = .path
      pathIsAbsolute = !value.isEmpty && value[0] == UInt8(ascii: "/")
      pathIsAsterisk = value.matches("*")
      if Self.hasSpace(value) { isMalformed = true }
    } else if name.matches(":method") {
      field = .method
      isConnect = value.matches("CONNECT")
      isOptions = value.matches("OPTIONS")
      if value.isEmpty || !Self.isToken(value) { isMalformed = true }
    } else if name.matches(":scheme") {
      field = .scheme
      if !Self.isScheme(value) { isMalformed = true }
    } else if name.matches(":authority") {
      field = .authority
      if !Self.isAuthority(value) { isMalformed = true }
    } else {
      return isMalformed = true
    }
    if areTrailers || hasRegular || !seen.insert(field).inserted { isMalformed = true }
  }

  /// A token in lower case (8.2.1; RFC 9110 5.6.2).
  private static func isLegal(name: Span<UInt8>) -> Bool {
    for index in name.indices where !isTokenByte(name[index]) || (0x41...0x5a).contains(name[index]) { return false }
    return true
  }

  private static func isToken(_ bytes: Span<UInt8>) -> Bool {
    for index in bytes.indices where !isTokenByte(bytes[index]) { return false }
    return true
  }

  private static func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
         UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
         UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
         UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "^"), UInt8(ascii: "`"),
         UInt8(ascii: "|"), UInt8(ascii: "~"): true
    default: false
    }
  }

  /// No control character but the tab, and no white space at either end (8.2.1; RFC 9110 5.5).
  private static func isLegal(value: Span<UInt8>) -> Bool {
    guard !value.isEmpty else { return true }
    for index in value.indices {
      let byte = value[index]
      if byte < 0x20 && byte != 0x09 || byte == 0x7f { return false }
    }
    return !isSpace(value[0]) && !isSpace(value[value.count - 1])
  }

  /// A letter, then letters, digits, `+`, `-` and `.` (RFC 3986 3.1).
  private static func isScheme(_ value: Span<UInt8>) -> Bool {
    guard !value.isEmpty, isLetter(value[0]) else { return false }
    for index in value.indices {
      switch value[index] {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."): continue
      case let byte: if !isLetter(byte) { return false }
      }
    }
    return true
  }

  /// Nothing that ends an authority or stands outside of one (RFC 3986 3.2).
  private static func isAuthority(_ value: Span<UInt8>) -> Bool {
    for index in value.indices {
      switch value[index] {
      case UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#"), UInt8(ascii: "\\"), 0...0x20, 0x7f...: return false
      default: continue
      }
    }
    return true
  }

  private static func hasSpace(_ value: Span<UInt8>) -> Bool {
    for index in value.indices where isSpace(value[index]) { return true }
    return false
  }

  private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7a).contains(byte | 0x20) }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

  private static func number(_ digits: Span<UInt8>) -> Int? {
    // 18 digits fit; a body of an exabyte is not coming.
    guard (1...18).contains(digits.count) else { return nil }
    var number = 0
    for index in digits.indices {
      guard (0x30...0x39).contains(digits[index]) else { return nil }
      number = number * 10 + Int(digits[index] - 0x30)
    }
    return number
  }
}
