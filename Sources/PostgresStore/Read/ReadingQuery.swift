// Which stored readings are wanted, and the rules that a query must keep.
package import Status
import Telemetry

/// A query over `telemetry`. Times are microseconds since 1970-01-01T00:00:00Z.
package struct ReadingQuery: Sendable, Equatable {
  package enum Order: Sendable { case ascending, descending }

  package static let limitRange = 1...10_000
  package static let defaultLimit = 1000
  /// Longest list of devices in one query.
  package static let maximumDevices = 1000
  /// Without times: the last hour (CONTRACT 2).
  static let defaultSpan: Int64 = 3_600_000_000

  /// Empty = all.
  package var deviceIDs: [String] = []
  /// The range is half-open: `startTime <= timestamp < endTime`. nil: an hour before the end.
  package var startTime: Int64?
  /// nil: as far ahead of now as a reading may be stamped.
  package var endTime: Int64?
  /// Readings in a page.
  package var limit = defaultLimit
  /// By timestamp and then by device, both in this direction.
  package var order = Order.descending
  package var anomaliesOnly = false
  /// Lowest `data_quality_score`.
  package var minQuality: Float?
  /// From the page before; empty = the first page. The other fields but `limit` must be as they were.
  package var pageToken = ""

  package init() {}

  /// Throws INVALID_ARGUMENT that names the field at fault.
  package func validate() throws(RPCStatus) {
    guard Self.limitRange.contains(limit) else {
      throw .invalidField("limit", "\(limit) is not in 1..\(Self.limitRange.upperBound): page, or use ExportReadings")
    }
    guard deviceIDs.count <= Self.maximumDevices else {
      throw .invalidField("device_id", "\(deviceIDs.count) devices; at most \(Self.maximumDevices) in one query")
    }
    if deviceIDs.contains(where: { $0.utf8.contains(0) }) {
      throw .invalidField("device_id", "a device id holds a NUL byte")
    }
    if let startTime, let endTime, startTime > endTime {
      throw .invalidField("start_time", "it is after end_time")
    }
    if let minQuality, !(0...1).contains(minQuality) {
      throw .invalidField("min_quality", "\(minQuality) is not in 0..1")
    }
  }

  /// The range with its defaults filled in.
  func range(now: Int64) -> Range<Int64> {
    let end = endTime ?? now + ReadingRules().maximumAheadMicroseconds
    let start = startTime ?? (endTime ?? now).subtractingReportingOverflow(Self.defaultSpan).partialValue
    return min(start, end)..<end
  }

  /// Of all that must not change between pages; the same in every process and version (FNV-1a).
  var filterHash: UInt64 {
    let devices = Set(deviceIDs).sorted().joined(separator: ",")
    let text = "\(devices)|\(startTime.map(String.init) ?? "-")|\(endTime.map(String.init) ?? "-")|\(order)|"
      + "\(anomaliesOnly)|\(minQuality.map { String($0.bitPattern) } ?? "-")"
    return text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }
}
