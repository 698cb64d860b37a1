// What became of readings, how long acknowledgements took, how full the journals are: for GetServerInfo.
internal import Contracts
internal import Journal
package import Pipeline
internal import Protobuf
internal import Telemetry

/// Of one moment.
package struct IngestFacts: Sendable {
  let counters: IngestCounters
  let latencies: [AckLatencies.Summary]
  let journals: [(name: String, status: JournalStatus)]

  package init(_ pipeline: IngestPipeline, _ latencies: AckLatencies) {
    counters = pipeline.counters
    self.latencies = latencies.summaries
    journals = [("live", pipeline.journalStatus(.live)), ("backfill", pipeline.journalStatus(.historical))]
  }

  /// Of the journals.
  var quotas: [ESPV1.Quota] {
    journals.map { journal in
      .with {
        $0.subject = "journal"
        $0.part = journal.name
        $0.unit = "B"
        $0.used = UInt64(journal.status.usedBytes)
        $0.limit = UInt64(journal.status.limitBytes)
      }
    }
  }

  func write(into info: inout ESPV1.GetServerInfoResponse) {
    info.ingest = .with {
      $0.received = counters.received
      $0.stored = counters.stored
      $0.duplicate = counters.duplicate
      $0.quarantined = counters.quarantined
      $0.rejected = counters.rejected
      $0.failed = counters.failed
      $0.inFlight = counters.inFlight
    }
    info.ackLatencies = latencies.map { latency in
      .with {
        $0.ackLevel = ESPV1.AckLevel(rawValue: latency.level.rawValue)
        $0.count = latency.count
        $0.p50 = .init(.microseconds(latency.p50))
        $0.p99 = .init(.microseconds(latency.p99))
        $0.p999 = .init(.microseconds(latency.p999))
        $0.max = .init(.microseconds(latency.maximum))
      }
    }
    info.journals = journals.map { journal in
      .with {
        $0.name = journal.name
        $0.condition = switch journal.status.condition {
        case .ok: .ok
        case .full: .full
        case .failed: .failed
        }
        $0.usedBytes = UInt64(journal.status.usedBytes)
        $0.limitBytes = UInt64(journal.status.limitBytes)
        $0.damages = UInt32(clamping: journal.status.damages.count)
      }
    }
  }
}
