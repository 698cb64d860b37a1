// Walks through a FileDescriptorSet once and notes where everything is declared.
import Protobuf

/// What a descriptor set declares. Field numbers are those of google/protobuf/descriptor.proto, named beside each use.
struct DescriptorIndex: Sendable {
  struct File: Sendable {
    var name: String
    var bytes: [UInt8]
    var dependencies: [String]
  }

  private(set) var files: [File] = []
  /// Full name -> index of the file that declares it.
  private(set) var symbols: [String: Int] = [:]
  private(set) var messages: Set<String> = []
  private(set) var services: [String] = []
  /// Extended message -> extension number -> index of the declaring file.
  private(set) var extensions: [String: [Int32: Int]] = [:]
  private(set) var rules: [String: MethodRule] = [:]

  /// Field number of `(esp.options.v1.rule)` in google.protobuf.MethodOptions.
  private static let ruleNumber: UInt32 = 50811

  init(_ set: [UInt8]) throws(WireError) {
    let bytes = set.span
    // FileDescriptorSet.file
    for range in try WireMessage(0..<bytes.count, in: bytes).ranges(1) { try add(file: range, in: bytes) }
  }

  func file(named name: String) -> File? { files.first { $0.name == name } }

  private mutating func add(file range: Range<Int>, in bytes: Span<UInt8>) throws(WireError) {
    let file = try WireMessage(range, in: bytes)
    // name = 1, package = 2, dependency = 3
    files.append(File(name: file.string(1, in: bytes), bytes: [UInt8](span: bytes.extracting(range)),
                      dependencies: file.strings(3, in: bytes)))
    let package = file.string(2, in: bytes)
    let scope = package.isEmpty ? "" : package + "."
    // message_type = 4, enum_type = 5, service = 6, extension = 7
    for message in file.ranges(4) { try add(message: message, scope: scope, in: bytes) }
    for enumeration in file.ranges(5) { try add(enumeration: enumeration, scope: scope, in: bytes) }
    for service in file.ranges(6) { try add(service: service, scope: scope, in: bytes) }
    for field in file.ranges(7) { try add(extension: field, scope: scope, in: bytes) }
  }

  private mutating func add(message range: Range<Int>, scope: String, in bytes: Span<UInt8>) throws(WireError) {
    let message = try WireMessage(range, in: bytes)
    let name = scope + message.string(1, in: bytes)
    declare(name)
    messages.insert(name)
    // field = 2, oneof_decl = 8: only their names
    for member in message.ranges(2) + message.ranges(8) {
      declare(name + "." + (try WireMessage(member, in: bytes)).string(1, in: bytes))
    }
    // nested_type = 3, enum_type = 4, extension = 6
    for nested in message.ranges(3) { try add(message: nested, scope: name + ".", in: bytes) }
    for enumeration in message.ranges(4) { try add(enumeration: enumeration, scope: name + ".", in: bytes) }
    for field in message.ranges(6) { try add(extension: field, scope: name + ".", in: bytes) }
  }

  private mutating func add(enumeration range: Range<Int>, scope: String, in bytes: Span<UInt8>) throws(WireError) {
    let enumeration = try WireMessage(range, in: bytes)
    declare(scope + enumeration.string(1, in: bytes))
    // value = 2
    for value in enumeration.ranges(2) { declare(scope + (try WireMessage(value, in: bytes)).string(1, in: bytes)) }
  }

  private mutating func add(service range: Range<Int>, scope: String, in bytes: Span<UInt8>) throws(WireError) {
    let service = try WireMessage(range, in: bytes)
    let name = scope + service.string(1, in: bytes)
    declare(name)
    services.append(name)
    // method = 2
    for method in service.ranges(2) { try add(method: method, scope: name + ".", in: bytes) }
  }

  private mutating func add(method range: Range<Int>, scope: String, in bytes: Span<UInt8>) throws(WireError) {
    let method = try WireMessage(range, in: bytes)
    let name = scope + method.string(1, in: bytes)
    declare(name)
    // options = 4
    for options in method.ranges(4) {
      for rule in try WireMessage(options, in: bytes).ranges(Self.ruleNumber) {
        // A rule that protoc has accepted is readable; one that is not must not pass for "no rule".
        guard let rule = try? MethodRule(serialized: bytes.extracting(rule)) else {
          preconditionFailure("the rule of \(name) is damaged: run proto/generate.sh")
        }
        rules[name] = rule
      }
    }
  }

  private mutating func add(extension range: Range<Int>, scope: String, in bytes: Span<UInt8>) throws(WireError) {
    let field = try WireMessage(range, in: bytes)
    declare(scope + field.string(1, in: bytes))
    // extendee = 2, with a leading dot; number = 3
    let extendee = String(field.string(2, in: bytes).drop { $0 == "." })
    extensions[extendee, default: [:]][Int32(truncatingIfNeeded: field.varint(3) ?? 0)] = files.count - 1
  }

  private mutating func declare(_ name: String) { symbols[name] = files.count - 1 }
}
