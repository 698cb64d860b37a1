// The grpc-timeout header: how long the client will wait.

/// Parses `grpc-timeout` (gRPC over HTTP/2: at most eight digits and one of H M S m u n).
package enum GRPCTimeout {
  /// The timeout, or nil when the value is malformed: that is an error, never "no deadline".
  package static func parse(_ value: Span<UInt8>) -> Duration? {
    guard value.count >= 2, value.count <= 9 else { return nil }
    var number: Int64 = 0
    for index in 0..<value.count - 1 {
      let digit = value[index]
      guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
      number = number * 10 + Int64(digit - UInt8(ascii: "0"))
    }
    return switch value[value.count - 1] {
    case UInt8(ascii: "H"): .seconds(number * 3600)
    case UInt8(ascii: "M"): .seconds(number * 60)
    case UInt8(ascii: "S"): .seconds(number)
    case UInt8(ascii: "m"): .milliseconds(number)
    case UInt8(ascii: "u"): .microseconds(number)
    case UInt8(ascii: "n"): .nanoseconds(number)
    default: nil
    }
  }
}
