// grpc.testing.TestService, as the public description of the gRPC interop tests asks for it.
internal import HTTPCore
internal import Protobuf
package import RPC
package import Status

/// What the official clients of all languages are run against.
package struct InteropTestService: GRPCTesting.TestServiceProtocol {
  /// The largest payload that a client may ask for, bytes: it is made in memory. Beyond: INVALID_ARGUMENT.
  static let maximumPayloadBytes = 64 << 20

  /// Sent to clients that want to know which process answers.
  private let serverID: String

  package init(serverID: String) { self.serverID = serverID }

  package func emptyCall(_ request: GRPCTesting.Empty, context: CallContext) async throws(RPCStatus)
    -> GRPCTesting.Empty {
    try context.echoMetadata()
    return GRPCTesting.Empty()
  }

  package func unaryCall(_ request: GRPCTesting.SimpleRequest, context: CallContext) async throws(RPCStatus)
    -> GRPCTesting.SimpleResponse {
    try context.echoMetadata()
    try Self.check(request.expectCompressed, isCompressed: context.isMessageCompressed)
    try request.responseStatus?.throwIfError()
    if request.responseCompressed?.value == true { context.compressMessages() }
    if let report = request.orcaPerRPCReport { context.report(load: report) }
    var response = GRPCTesting.SimpleResponse()
    response.payload = try Self.payload(byteCount: request.responseSize)
    if request.fillServerID { response.serverID = serverID }
    return response
  }

  package func cacheableUnaryCall(_ request: GRPCTesting.SimpleRequest, context: CallContext) async throws(RPCStatus)
    -> GRPCTesting.SimpleResponse {
    context.addInitialMetadata(HTTPFields([("cache-control", "max-age=60, public")]))
    return try await unaryCall(request, context: context)
  }

  package func unimplementedCall(_ request: GRPCTesting.Empty, context: CallContext) async throws(RPCStatus)
    -> GRPCTesting.Empty {
    throw RPCStatus(.unimplemented, "UnimplementedCall is not implemented, for the test that wants that")
  }

  /// The client says whether its message is compressed; a server that does not see it so has to complain.
  static func check(_ expected: GRPCTesting.BoolValue?, isCompressed: Bool) throws(RPCStatus) {
    guard let expected, expected.value != isCompressed else { return }
    throw RPCStatus.invalidField("expect_compressed", "the message came \(isCompressed ? "" : "un")compressed")
  }

  static func payload(byteCount: Int32) throws(RPCStatus) -> GRPCTesting.Payload {
    guard (0...maximumPayloadBytes).contains(Int(byteCount)) else {
      throw RPCStatus.invalidField("response_size", "is \(byteCount); allowed are 0 to \(maximumPayloadBytes)")
    }
    return .with { $0.body = [UInt8](repeating: 0, count: Int(byteCount)) }
  }
}

extension GRPCTesting.EchoStatus {
  func throwIfError() throws(RPCStatus) {
    guard code != 0 else { return }
    throw RPCStatus(RPCStatus.Code(rawValue: Int(code)) ?? .unknown, message)
  }
}

extension CallContext {
  /// The load of this call for balancers, as ORCA has it: one binary field of the trailers (gRFC A51).
  func report(load: GRPCTesting.TestOrcaReport) {
    let report = XdsDataOrcaV3.OrcaLoadReport.with {
      $0.cpuUtilization = load.cpuUtilization
      $0.memUtilization = load.memoryUtilization
      $0.requestCost = load.requestCost
      $0.utilization = load.utilization
    }
    var fields = HTTPFields()
    fields.append("endpoint-load-metrics-bin", binary: report.serialized())
    addTrailingMetadata(fields)
  }

  /// What the client sends in two fields of these names comes back in the head and in the trailers.
  func echoMetadata() throws(RPCStatus) {
    let initial = "x-grpc-test-echo-initial", trailing = "x-grpc-test-echo-trailing-bin"
    for value in metadata.values(of: initial) { addInitialMetadata(HTTPFields([(initial, value)])) }
    for value in try metadata.binaryValues(of: trailing) {
      var fields = HTTPFields()
      fields.append(trailing, binary: value)
      addTrailingMetadata(fields)
    }
  }
}
