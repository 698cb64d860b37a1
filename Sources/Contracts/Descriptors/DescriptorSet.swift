// The protos as data: what reflection serves, and what each method's options say.
import Protobuf

/// An indexed `google.protobuf.FileDescriptorSet`.
///
/// It is read on the wire, not through libprotobuf-c, so that files are handed out byte for byte, with our options.
package struct DescriptorSet: Sendable {
  /// The protos that this program was built from.
  package static let embedded: DescriptorSet = {
    do throws(WireError) {
      return try DescriptorSet(serialized: embeddedDescriptorSet())
    } catch {
      preconditionFailure("the embedded descriptor set is damaged, \(error): run proto/generate.sh")
    }
  }()

  /// Full names, sorted.
  package let serviceNames: [String]
  /// The rule of each method that has one, by full name: "esp.v1.TelemetryService.Ingest".
  package let rules: [String: MethodRule]

  private let index: DescriptorIndex

  init(serialized bytes: [UInt8]) throws(WireError) {
    index = try DescriptorIndex(bytes)
    serviceNames = index.services.sorted()
    rules = index.rules
  }

  /// Names of all files, each after those that it imports.
  package var fileNames: [String] { index.files.map(\.name) }

  /// The serialized `FileDescriptorProto` of a file, as protoc wrote it.
  package func file(named name: String) -> [UInt8]? { index.file(named: name)?.bytes }

  /// The name of the file that declares a package-qualified message, enum, enum value, field, oneof, extension, service
  /// or method. An enum value lies beside its enum, as in C++: "esp.v1.ACK_LEVEL_DURABLE".
  package func file(containing symbol: String) -> String? {
    index.symbols[symbol].map { index.files[$0].name }
  }

  /// A file and all that it imports, directly or not, itself first; empty when there is no such file.
  package func dependencies(of name: String) -> [String] {
    var found: [String] = []
    var waiting = [name]
    while let next = waiting.popLast() {
      guard !found.contains(next), let file = index.file(named: next) else { continue }
      found.append(next)
      waiting += file.dependencies.reversed()
    }
    return found
  }

  /// The numbers of all extensions of a message, ascending; nil when there is no such message.
  package func extensionNumbers(of type: String) -> [Int32]? {
    guard index.messages.contains(type) else { return nil }
    return (index.extensions[type] ?? [:]).keys.sorted()
  }

  /// The name of the file that declares an extension of a message.
  package func file(containingExtension number: Int32, of type: String) -> String? {
    index.extensions[type]?[number].map { index.files[$0].name }
  }

  /// The rule of a method by the path of its calls: "/esp.v1.TelemetryService/Ingest".
  package func rule(path: String) -> MethodRule? {
    guard path.first == "/" else { return nil }
    return rules[String(path.dropFirst().map { $0 == "/" ? "." : $0 })]
  }
}
