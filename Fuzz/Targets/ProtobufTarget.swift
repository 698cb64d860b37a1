// Every generated message: what can be read is written and read again as the same.
import Contracts
import Protobuf

extension FuzzTarget {
  /// The first byte chooses the message, the rest is read as one.
  static let protobuf = FuzzTarget("protobuf", seeds: [
    "reading": [0] + ESPV1.Reading.with {
      ($0.deviceID, $0.temperature, $0.timestamp) = ("ESP-001", 85, .with { $0.seconds = 1_764_000_000 })
    }.serialized(),
    "block": [1] + ESPV1.ReadingBlock.with { ($0.timeDeltaUs, $0.rpm) = ([0, 1_000_000], [3000, .nan]) }.serialized(),
    "map": [11] + GoogleRPC.ErrorInfo.with { $0.metadata = ["a": "1", "b": "2"] }.serialized(),
    "any": [12] + GoogleRPC.Status.with { $0.details = [.with { $0.value = [1, 2, 3] }] }.serialized(),
  ]) { bytes throws(FuzzFinding) in
    guard let choice = bytes.first else { return }
    try roundTrips[Int(choice) % roundTrips.count](Array(bytes.dropFirst()))
  }

  private static let roundTrips: [@Sendable ([UInt8]) throws(FuzzFinding) -> Void] = [
    roundTrip(ESPV1.Reading.self), roundTrip(ESPV1.ReadingBlock.self), roundTrip(ESPV1.IngestRequest.self),
    roundTrip(ESPV1.IngestResponse.self), roundTrip(ESPV1.IngestStreamRequest.self),
    roundTrip(ESPV1.IngestStreamResponse.self), roundTrip(ESPV1.QueryReadingsRequest.self),
    roundTrip(ESPV1.QueryReadingsResponse.self), roundTrip(ESPV1.QueryAggregatesResponse.self),
    roundTrip(ESPV1.GetDeviceStatisticsResponse.self), roundTrip(ESPV1.SubscribeResponse.self),
    roundTrip(GoogleRPC.ErrorInfo.self), roundTrip(GoogleRPC.Status.self), roundTrip(GoogleRPC.BadRequest.self),
    roundTrip(GRPCHealthV1.HealthCheckRequest.self), roundTrip(GRPCReflectionV1.ServerReflectionRequest.self),
    roundTrip(GRPCReflectionV1.ServerReflectionResponse.self), roundTrip(ESPOptionsV1.MethodRule.self),
  ]

  private static func roundTrip<Message: ProtobufMessage>(
    _: Message.Type
  ) -> @Sendable ([UInt8]) throws(FuzzFinding) -> Void {
    { bytes throws(FuzzFinding) in
      // Most bytes are no message: being refused is what they are for.
      guard let message = try? Message(serialized: bytes.span) else { return }
      let written = message.serialized()
      do throws(ProtobufError) {
        let again = try Message(serialized: written.span)
        // Compared as bytes: NaN is not equal to itself.
        guard again.serialized() == written else { throw .malformed(message: Message.protobufName) }
      } catch {
        throw FuzzFinding("\(Message.protobufName) does not survive being written and read again: \(error)")
      }
    }
  }
}
