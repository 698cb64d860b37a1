// Goes through the readings of a query, some at a time, never one twice and none left out.

/// The state of a walk between two pages: a value, so that a page that failed can be read again from where it began.
struct ReadingWalk: Sendable {
  private let query: ReadingQuery
  /// All of it; what is left is in `slices`.
  let range: Range<Int64>
  private var slices: TimeSlices
  private(set) var key: ReadingKey?
  private var isClamped = false

  init(_ query: ReadingQuery, _ range: Range<Int64>, after key: ReadingKey?) {
    self.query = query
    self.range = range
    self.key = key
    slices = TimeSlices(query, range)
    if let key { slices.stop(at: key) }
  }

  /// Nothing is left.
  var isFinished: Bool { slices.isEmpty }

  /// The next readings, at most `limit`. When it returns and `isFinished` is false there is at least one more.
  mutating func next(_ limit: Int, on connection: PostgresConnection) throws(PostgresError) -> StoredReadings {
    var readings = StoredReadings()
    let start = key
    try leaveOutEmptyDays(connection)
    while !slices.isEmpty {
      let slice = slices.next
      // The readings to skip lie in the slice of their key and in no later one.
      let last = readings.lastKey(after: start)
      let resumed = last.flatMap { slice.contains($0.timestamp) ? $0 : nil }
      // One more than wanted tells whether there is more.
      let select = ReadingSelect(query, slice, after: resumed, limit: limit - readings.count + 1)
      _ = try select.run(connection, into: &readings)
      guard readings.count > limit else {
        slices.finish(slice)
        continue
      }
      readings.removeLast()
      key = readings.lastKey(after: start)
      if let key { slices.stop(at: key) }
      return readings
    }
    key = readings.lastKey(after: start)
    return readings
  }

  /// A range of years over a table of days: the days that exist are known from the catalogue.
  private mutating func leaveOutEmptyDays(_ connection: PostgresConnection) throws(PostgresError) {
    let (span, overflow) = slices.rest.upperBound.subtractingReportingOverflow(slices.rest.lowerBound)
    guard !isClamped, overflow || span > 2 * Partitions.dayMicroseconds else { return }
    isClamped = true
    if let range = try Partitions.storedRange(on: connection) { slices.clamp(to: range) }
  }
}
