// The grpc-timeout header, against the rule of the specification worked out with text.
import RPC

extension FuzzTarget {
  static let grpcTimeout = FuzzTarget("grpc-timeout", seeds: [
    "hours": Array("99999999H".utf8), "minutes": Array("5M".utf8), "seconds": Array("30S".utf8),
    "milliseconds": Array("100m".utf8), "microseconds": Array("00000000u".utf8), "nanoseconds": Array("1n".utf8),
    "too-long": Array("123456789S".utf8), "negative": Array("-1S".utf8),
  ]) { bytes throws(FuzzFinding) in
    let ours = GRPCTimeout.parse(bytes.span)
    let expected = slowly(bytes)
    try FuzzFinding.require(ours == expected, "grpc-timeout is \(String(describing: ours)), not \(expected as Any)")
    if let ours {
      // What the deadline's timer is given: it must neither trap nor go backwards.
      try FuzzFinding.require(ours.nanoseconds >= 0, "a timeout of \(ours) has \(ours.nanoseconds) nanoseconds")
    }
  }

  private static let units: [Character: Duration] = [
    "H": .seconds(3600), "M": .seconds(60), "S": .seconds(1), "m": .milliseconds(1), "u": .microseconds(1),
    "n": .nanoseconds(1),
  ]

  private static func slowly(_ bytes: [UInt8]) -> Duration? {
    guard bytes.allSatisfy({ $0 < 0x80 }) else { return nil }
    let text = String(decoding: bytes, as: UTF8.self)
    guard let unit = text.last.flatMap({ units[$0] }), (1...8).contains(text.count - 1),
          text.dropLast().allSatisfy({ "0123456789".contains($0) }), let number = Int(text.dropLast())
    else { return nil }
    return unit * number
  }
}
