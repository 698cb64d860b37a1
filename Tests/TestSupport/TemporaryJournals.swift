// Journals for a test, in a folder of its own.
import Foundation
package import Journal
import Logging

/// The two journals of a pipeline. The folder goes with the last reference, so that a test can open it once more.
package final class TemporaryJournals: Sendable {
  package let directory: String

  package init() {
    directory = FileManager.default.temporaryDirectory.appendingPathComponent("journals-" + UUID().uuidString).path
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  /// - Parameter maximumBytes: of each.
  package func open(maximumBytes: Int = 64 << 20, segmentBytes: Int = 1 << 20) throws
    -> (live: Journal, historical: Journal) {
    var limits = JournalLimits()
    limits.segmentBytes = segmentBytes
    limits.maximumBytes = maximumBytes
    limits.maximumDiskShare = 1
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    return (try Journal(directory: directory + "/live", limits: limits, logger: logger),
            try Journal(directory: directory + "/backfill", limits: limits, logger: logger))
  }
}
