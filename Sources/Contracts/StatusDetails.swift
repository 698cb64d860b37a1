// A status as the google.rpc.Status message that grpc-status-details-bin carries.
internal import Protobuf
package import Status

/// Encodes statuses with their typed details.
package enum StatusDetails {
  /// The domain of every `ErrorInfo` of ours.
  package static let domain = "esp"

  /// A serialized `google.rpc.Status`. Every error has an `ErrorInfo`; its reason is the code's name where no finer one
  /// was given.
  package static func encode(_ status: RPCStatus) -> [UInt8] {
    var message = GoogleRPC.Status()
    message.code = Int32(status.code.rawValue)
    message.message = status.message
    if !status.details.contains(where: \.isErrorInfo) {
      message.details.append(any(of: .errorInfo(reason: status.code.name)))
    }
    message.details += status.details.map(any(of:))
    return message.serialized()
  }

  private static func any(of detail: RPCStatus.Detail) -> GoogleProtobuf.`Any` {
    switch detail {
    case .errorInfo(let reason, let metadata):
      var info = GoogleRPC.ErrorInfo()
      info.reason = reason
      info.domain = domain
      info.metadata = metadata
      return pack(info, "google.rpc.ErrorInfo")
    case .badRequest(let violations):
      var badRequest = GoogleRPC.BadRequest()
      badRequest.fieldViolations = violations.map { violation in
        var encoded = GoogleRPC.BadRequest.FieldViolation()
        encoded.field = violation.field
        encoded.description = violation.description
        return encoded
      }
      return pack(badRequest, "google.rpc.BadRequest")
    case .retryInfo(let after):
      var info = GoogleRPC.RetryInfo()
      info.retryDelay = GoogleProtobuf.Duration(after)
      return pack(info, "google.rpc.RetryInfo")
    case .quotaFailure(let subject, let description):
      var violation = GoogleRPC.QuotaFailure.Violation()
      violation.subject = subject
      violation.description = description
      var failure = GoogleRPC.QuotaFailure()
      failure.violations = [violation]
      return pack(failure, "google.rpc.QuotaFailure")
    }
  }

  private static func pack(_ message: some ProtobufMessage, _ name: String) -> GoogleProtobuf.`Any` {
    var packed = GoogleProtobuf.`Any`()
    packed.typeURL = "type.googleapis.com/\(name)"
    packed.value = message.serialized()
    return packed
  }
}

extension RPCStatus.Detail {
  fileprivate var isErrorInfo: Bool {
    if case .errorInfo = self { true } else { false }
  }
}
