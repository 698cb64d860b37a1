// Server reflection, the same for v1 and v1alpha: questions about the embedded descriptors, and their answers.
internal import Contracts
internal import Status

/// Answers reflection questions from the descriptor set that is built into the program.
enum ReflectionIndex {
  enum Question {
    case fileNamed(String)
    case fileContaining(symbol: String)
    case fileExtending(String, number: Int32)
    case extensionNumbers(of: String)
    case services
    case none
  }

  enum Answer {
    /// Serialized FileDescriptorProtos: the file asked for and all that it imports.
    case files([[UInt8]])
    case extensionNumbers(type: String, [Int32])
    case services([String])
    case error(RPCStatus)
  }

  static func answer(_ question: Question) -> Answer {
    let descriptors = DescriptorSet.embedded
    switch question {
    case .fileNamed(let name): return files(name, notFound: "no file \(name)")
    case .fileContaining(let symbol):
      return files(descriptors.file(containing: symbol), notFound: "no symbol \(symbol)")
    case .fileExtending(let extendee, let number):
      return files(descriptors.file(containingExtension: number, of: extendee),
                   notFound: "no extension \(number) of \(extendee)")
    case .extensionNumbers(let type):
      guard let numbers = descriptors.extensionNumbers(of: type) else {
        return .error(RPCStatus(.notFound, "no type \(type)"))
      }
      return .extensionNumbers(type: type, numbers)
    case .services: return .services(descriptors.serviceNames)
    case .none: return .error(RPCStatus(.invalidArgument, "the request asks nothing"))
    }
  }

  private static func files(_ name: String?, notFound: String) -> Answer {
    let descriptors = DescriptorSet.embedded
    guard let name, descriptors.file(named: name) != nil else { return .error(RPCStatus(.notFound, notFound)) }
    return .files(descriptors.dependencies(of: name).compactMap { descriptors.file(named: $0) })
  }
}
