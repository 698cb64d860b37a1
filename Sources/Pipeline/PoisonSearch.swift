// Finds the readings of a batch that the database refuses, so that the others are stored.
internal import PostgresStore
internal import Telemetry

/// Halves what is refused until single readings are left.
struct PoisonSearch {
  /// Questions to the database about one batch: 24 bad readings among 10,000 need some 300. Beyond: what is left in
  /// doubt counts as refused; a dead letter can be sent again.
  static let maximumChecks = 1_000

  private let store: any ReadingStore
  private var checks = 0
  /// Places in the batch, in order.
  private(set) var refused: [Int] = []
  /// What the database said first.
  private(set) var reason: PostgresError?

  init(_ store: any ReadingStore) { self.store = store }

  /// `batch` as a whole was refused. Throws what is no verdict on readings: `.stopped`.
  mutating func search(_ batch: ReadingBatch) throws(WriteFailure) {
    try split(batch, batch.readings.indices)
  }

  private mutating func split(_ batch: ReadingBatch, _ range: Range<Int>) throws(WriteFailure) {
    guard range.count > 1, checks < Self.maximumChecks else { return refused += range }
    let middle = range.lowerBound + range.count / 2
    for half in [range.lowerBound..<middle, middle..<range.upperBound] where try isRefused(batch, half) {
      try split(batch, half)
    }
  }

  private mutating func isRefused(_ batch: ReadingBatch, _ range: Range<Int>) throws(WriteFailure) -> Bool {
    checks += 1
    var part = ReadingBatch()
    part.text = batch.text
    part.readings = Array(batch.readings[range])
    do throws(WriteFailure) {
      try store.check(part)
      return false
    } catch {
      guard case .data(let error) = error else { throw error }
      if reason == nil { reason = error }
      return true
    }
  }
}
