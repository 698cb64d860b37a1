// What the pipeline commits goes to the live feed.
package import Live
package import Pipeline
package import Telemetry

extension LiveFeed: CommitObserver {
  package func committed(_ batch: ReadingBatch, except: [Int], ingestedAt: Int64, _ priority: IngestPriority) {
    publish(batch, except: except, isHistorical: priority == .historical, ingestedAt: ingestedAt)
  }
}
