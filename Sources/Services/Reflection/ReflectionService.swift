// grpc.reflection, v1 and v1alpha: the messages around ReflectionIndex.
package import Contracts
package import RPC
package import RPCMessages
package import Status

/// Server reflection.
package struct ReflectionService: GRPCReflectionV1.ServerReflectionProtocol {
  package init() {}

  /// The method under both of its names: v1alpha has the same messages under other names, byte for byte.
  package var bothVersions: [RPCMethod] {
    methods + methods.map { method in
      RPCMethod(path: method.path.replacing(".v1.", with: ".v1alpha."), handler: method.handler)
    }
  }

  package func serverReflectionInfo(
    _ requests: RequestStream<GRPCReflectionV1.ServerReflectionRequest>,
    responses: ResponseStream<GRPCReflectionV1.ServerReflectionResponse>,
    context: CallContext
  ) async throws(RPCStatus) {
    var requests = requests.makeAsyncIterator()
    while let request = try await requests.next() {
      var response = GRPCReflectionV1.ServerReflectionResponse()
      response.validHost = request.host
      response.originalRequest = request
      response.messageResponse = Self.encode(ReflectionIndex.answer(Self.question(request)))
      try await responses.send(response)
    }
  }

  private static func question(_ request: GRPCReflectionV1.ServerReflectionRequest) -> ReflectionIndex.Question {
    switch request.messageRequest {
    case .fileByFilename(let name): .fileNamed(name)
    case .fileContainingSymbol(let symbol): .fileContaining(symbol: symbol)
    case .fileContainingExtension(let wanted): .fileExtending(wanted.containingType, number: wanted.extensionNumber)
    case .allExtensionNumbersOfType(let type): .extensionNumbers(of: type)
    case .listServices: .services
    case nil: .none
    }
  }

  private static func encode(
    _ answer: ReflectionIndex.Answer
  ) -> GRPCReflectionV1.ServerReflectionResponse.MessageResponse {
    switch answer {
    case .files(let files):
      var response = GRPCReflectionV1.FileDescriptorResponse()
      response.fileDescriptorProto = files
      return .fileDescriptorResponse(response)
    case .extensionNumbers(let type, let numbers):
      var response = GRPCReflectionV1.ExtensionNumberResponse()
      response.baseTypeName = type
      response.extensionNumber = numbers
      return .allExtensionNumbersResponse(response)
    case .services(let names):
      var response = GRPCReflectionV1.ListServiceResponse()
      response.service = names.map { name in
        var service = GRPCReflectionV1.ServiceResponse()
        service.name = name
        return service
      }
      return .listServicesResponse(response)
    case .error(let status):
      var response = GRPCReflectionV1.ErrorResponse()
      response.errorCode = Int32(status.code.rawValue)
      response.errorMessage = status.message
      return .errorResponse(response)
    }
  }
}
