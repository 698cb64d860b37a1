// grpc.reflection.v1alpha: the messages of this version around ReflectionIndex.
package import Contracts
package import RPC
package import RPCMessages
package import Status

/// Server reflection v1alpha.
package struct ReflectionV1AlphaService: GRPCReflectionV1Alpha.ServerReflectionProtocol {
  package init() {}

  package func serverReflectionInfo(
    _ requests: RequestStream<GRPCReflectionV1Alpha.ServerReflectionRequest>,
    responses: ResponseStream<GRPCReflectionV1Alpha.ServerReflectionResponse>,
    context: CallContext
  ) async throws(RPCStatus) {
    var requests = requests.makeAsyncIterator()
    while let request = try await requests.next() {
      var response = GRPCReflectionV1Alpha.ServerReflectionResponse()
      response.validHost = request.host
      response.originalRequest = request
      response.messageResponse = Self.encode(ReflectionIndex.answer(Self.question(request)))
      try await responses.send(response)
    }
  }

  private static func question(_ request: GRPCReflectionV1Alpha.ServerReflectionRequest) -> ReflectionIndex.Question {
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
  ) -> GRPCReflectionV1Alpha.ServerReflectionResponse.MessageResponse {
    switch answer {
    case .files(let files):
      var response = GRPCReflectionV1Alpha.FileDescriptorResponse()
      response.fileDescriptorProto = files
      return .fileDescriptorResponse(response)
    case .extensionNumbers(let type, let numbers):
      var response = GRPCReflectionV1Alpha.ExtensionNumberResponse()
      response.baseTypeName = type
      response.extensionNumber = numbers
      return .allExtensionNumbersResponse(response)
    case .services(let names):
      var response = GRPCReflectionV1Alpha.ListServiceResponse()
      response.service = names.map { name in
        var service = GRPCReflectionV1Alpha.ServiceResponse()
        service.name = name
        return service
      }
      return .listServicesResponse(response)
    case .error(let status):
      var response = GRPCReflectionV1Alpha.ErrorResponse()
      response.errorCode = Int32(status.code.rawValue)
      response.errorMessage = status.message
      return .errorResponse(response)
    }
  }
}
