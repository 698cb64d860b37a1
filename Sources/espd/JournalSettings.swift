// How much the journals may hold.
import Journal

/// Two journals share one limit: live batches have three quarters of it, backfill has one.
struct JournalSettings: Sendable {
  /// MiB of both.
  var maximumMiB: Int
  var maximumDiskPercent: Int
  var segmentMiB: Int
  /// A record must hold the largest message.
  private let maximumMessageMiB: Int

  /// - Parameter number: reads a whole number within a range; nil when the setting is not there.
  /// - Throws: `SettingsError` that names the key.
  init(maximumMessageMiB: Int, _ number: (SettingKey, ClosedRange<Int>) throws -> Int?) throws {
    self.maximumMessageMiB = maximumMessageMiB
    maximumMiB = try number(.journalMaxMiB, 16...16_777_216) ?? 8192
    maximumDiskPercent = try number(.journalMaxDiskPercent, 1...100) ?? 90
    segmentMiB = try number(.journalSegmentMiB, 1...2047) ?? min(64, maximumMiB / 16)
    let least = 2 * maximumMessageMiB
    guard segmentMiB >= least else {
      throw SettingsError("journal_segment_mib is \(segmentMiB); at least \(least) is needed: twice max_message_mib")
    }
    guard maximumMiB >= 8 * segmentMiB else {
      throw SettingsError("journal_max_mib is \(maximumMiB); at least \(8 * segmentMiB) is needed: 8 times "
        + "journal_segment_mib")
    }
  }

  /// Live batches.
  var live: JournalLimits { limits(maximumMiB: maximumMiB / 4 * 3) }
  var historical: JournalLimits { limits(maximumMiB: maximumMiB / 4) }

  private func limits(maximumMiB: Int) -> JournalLimits {
    var limits = JournalLimits()
    limits.segmentBytes = segmentMiB << 20
    limits.maximumBytes = maximumMiB << 20
    limits.maximumDiskShare = Double(maximumDiskPercent) / 100
    // The message, a loop turn's gathering, names and head.
    limits.maximumRecordBytes = max(limits.maximumRecordBytes, 2 * maximumMessageMiB << 20)
    return limits
  }

  var description: [(name: String, value: String)] {
    [
      (SettingKey.journalMaxMiB, maximumMiB), (.journalMaxDiskPercent, maximumDiskPercent),
      (.journalSegmentMiB, segmentMiB),
    ].map { ($0.0.name, "\($0.1)") }
  }
}
