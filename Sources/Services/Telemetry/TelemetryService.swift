// The telemetry service: one file an RPC, and here what they share.
internal import Contracts
package import Live
package import NIOCore
package import Pipeline
package import PostgresStore
package import Telemetry

/// Takes readings in exactly once and gives them back.
package struct TelemetryService: TelemetryServiceProtocol {
  let pipeline: IngestPipeline
  let reader: ReadingReader
  let live: LiveFeed
  let decoder: IngestDecoder
  let lanes: IngestLanes
  package let latencies: AckLatencies
  package let streamLimits: IngestStreamLimits
  /// Readings that a batch may have.
  package var maximumBatchReadings: Int { decoder.maximumBatchReadings }

  package init(pipeline: IngestPipeline, reader: ReadingReader, live: LiveFeed, rules: ReadingRules,
               group: any EventLoopGroup, streamLimits: IngestStreamLimits = IngestStreamLimits(),
               latencies: AckLatencies = AckLatencies()) {
    self.pipeline = pipeline
    self.reader = reader
    self.live = live
    decoder = IngestDecoder(rules: rules)
    lanes = IngestLanes(group: group, pipeline: pipeline, latencies: latencies)
    self.latencies = latencies
    self.streamLimits = streamLimits
  }
}
