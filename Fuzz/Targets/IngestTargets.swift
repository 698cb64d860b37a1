// The hand-written ingest decoder against libprotobuf-c, one target for each of its three messages.
import Contracts
import IngestReference
import Protobuf

extension FuzzTarget {
  /// Microseconds since 1970; the readings of the seeds lie around it.
  private static let now: Int64 = 1_764_000_000_000_000

  static let ingest = comparison("ingest", seeds: [
    "rows": ESPV1.IngestRequest.with {
      ($0.producerID, $0.sequence, $0.ackLevel) = ("gateway-7", 1, .committed)
      $0.readings = [reading, .with { $0.deviceID = "ESP-002" }, reading]
    }.serialized(),
    "block": ESPV1.IngestRequest.with { $0.blocks = [block] }.serialized(),
    "both": ESPV1.IngestRequest.with { ($0.readings, $0.blocks) = ([reading], [block, block]) }.serialized(),
    "empty": [],
  ]) { comparison throws(IngestComparison.Disagreement) in try comparison.ingest() }

  static let ingestReading = comparison("ingest-reading", seeds: [
    "reading": ESPV1.IngestReadingRequest.with { $0.reading = reading }.serialized(),
    "none": [],
  ]) { comparison throws(IngestComparison.Disagreement) in try comparison.single() }

  static let ingestStream = comparison("ingest-stream", seeds: [
    "open": ESPV1.IngestStreamRequest.with {
      $0.message = .open(.with { ($0.producerID, $0.ackLevel, $0.historical) = ("gateway-7", .accepted, true) })
    }.serialized(),
    "batch": ESPV1.IngestStreamRequest.with {
      $0.message = .batch(.with { ($0.sequence, $0.readings, $0.blocks) = (3, [reading, reading], [block]) })
    }.serialized(),
  ]) { comparison throws(IngestComparison.Disagreement) in try comparison.stream() }

  private static func comparison(
    _ name: String, seeds: [String: [UInt8]],
    _ compare: @escaping @Sendable (IngestComparison) throws(IngestComparison.Disagreement) -> IngestComparison.Outcome
  ) -> FuzzTarget {
    FuzzTarget(name, seeds: seeds) { bytes throws(FuzzFinding) in
      do throws(IngestComparison.Disagreement) { _ = try compare(IngestComparison(bytes, now: now)) } catch {
        throw FuzzFinding("\(error)")
      }
    }
  }

  private static let reading = ESPV1.Reading.with {
    $0.deviceID = "ESP-001"
    $0.sourceSystem = "historian"
    $0.timestamp = .with { ($0.seconds, $0.nanos) = (now / 1_000_000, 250_000_000) }
    ($0.temperature, $0.vibration, $0.leakageCurrent, $0.quality) = (85, 0.05, -999.25, 0x8000_0000)
  }

  private static let block = ESPV1.ReadingBlock.with {
    $0.deviceID = "ESP-001"
    $0.startTimeUnixUs = now
    $0.timeDeltaUs = [0, 1_000_000, 300]
    ($0.temperature, $0.rpm, $0.leakageCurrent) = ([85, .nan, 86], [3000, 3001, 3002], [1, 2, 250])
  }
}
