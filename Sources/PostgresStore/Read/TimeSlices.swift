// How a long range is read without sorting all of it: slice by slice, each about as wide as is needed.

/// The next slice to read, in the direction of the query.
///
/// No index has all devices in time order (it would cost two thirds of the ingest rate), so the readings of a slice are
/// sorted by the server. A slice that filled its page was too wide and the next is half as wide; one that did not was
/// too narrow and the next is four times as wide. One device and anomalies have an index in the right order: one
/// slice.
struct TimeSlices {
  /// A minute: 1,000 devices that send every second.
  static let firstWidth: Int64 = 60_000_000
  /// A day: the most that is ever sorted at once.
  static let greatestWidth: Int64 = 86_400_000_000
  static let leastWidth: Int64 = 1_000_000

  private let order: ReadingQuery.Order
  private let isWhole: Bool
  private(set) var rest: Range<Int64>
  private var width = Self.firstWidth

  init(_ query: ReadingQuery, _ range: Range<Int64>) {
    order = query.order
    isWhole = query.deviceIDs.count == 1 || query.anomaliesOnly
    rest = range
  }

  var isEmpty: Bool { rest.isEmpty }

  var next: Range<Int64> {
    if isWhole { return rest }
    switch order {
    case .ascending: return rest.lowerBound..<min(rest.upperBound, rest.lowerBound.saturatingAdd(width))
    case .descending: return max(rest.lowerBound, rest.upperBound.saturatingAdd(-width))..<rest.upperBound
    }
  }

  /// `slice` has been read to its end.
  mutating func finish(_ slice: Range<Int64>) {
    rest = order == .ascending ? slice.upperBound..<rest.upperBound : rest.lowerBound..<slice.lowerBound
    width = min(width * 4, Self.greatestWidth)
  }

  /// The slice that was being read has more than was wanted; reading goes on at `key`.
  mutating func stop(at key: ReadingKey) {
    switch order {
    case .ascending: rest = max(rest.lowerBound, key.timestamp)..<rest.upperBound
    case .descending: rest = rest.lowerBound..<min(rest.upperBound, key.timestamp.saturatingAdd(1))
    }
    width = max(width / 2, Self.leastWidth)
  }

  /// Leaves out what is known to be empty.
  mutating func clamp(to range: Range<Int64>) { rest = rest.clamped(to: range) }
}

extension Int64 {
  fileprivate func saturatingAdd(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? (other < 0 ? .min : .max) : sum
  }
}
