// Dead letters as they are listed: a page of them, and where the next one begins.
import Status

/// One row of `dead_letters`. Times are microseconds since 1970-01-01T00:00:00Z.
package struct StoredDeadLetter: Sendable, Equatable {
  package var id: Int64
  /// An upper snake case word of `Verdict.Reason`, or of a newer version.
  package var reason: String
  package var field: String
  package var deviceID: String
  package var readingTimestamp: Int64?
  /// Empty: it came without a producer.
  package var producerID: String
  package var sequence: UInt64
  package var principal: String
  package var receivedAt: Int64
  package var lastAttemptAt: Int64
  package var attempts: UInt32
  /// A serialized `esp.v1.Reading`.
  package var original: [UInt8]
}

/// Dead letters, newest first.
package struct DeadLetterPage: Sendable {
  package var letters: [StoredDeadLetter]
  /// Empty = this is the last page.
  package var nextPageToken: String
}

/// Where a page ends: its last dead letter, in the order (received_at, id).
struct DeadLetterPageToken: Equatable {
  private static let version: UInt8 = 1

  var filterHash: UInt64
  var receivedAt: Int64
  var id: Int64

  init(filterHash: UInt64, receivedAt: Int64, id: Int64) {
    self.filterHash = filterHash
    self.receivedAt = receivedAt
    self.id = id
  }

  var text: String {
    OpaqueToken.text(of: [Self.version] + filterHash.networkBytes + receivedAt.networkBytes + id.networkBytes)
  }

  /// Throws INVALID_ARGUMENT for anything that we did not make, or made for another filter.
  init(_ text: String, for filter: DeadLetterFilter) throws(RPCStatus) {
    let bytes = OpaqueToken.bytes(of: text)
    guard bytes.count == 25, bytes[0] == Self.version else {
      throw .invalidField("page_token", "it is malformed; pass next_page_token as it was received")
    }
    filterHash = OpaqueToken.integer(bytes[1..<9])
    receivedAt = Int64(bitPattern: OpaqueToken.integer(bytes[9..<17]))
    id = Int64(bitPattern: OpaqueToken.integer(bytes[17..<25]))
    guard filterHash == filter.hash else {
      throw .invalidField("page_token", "it belongs to a list with other filters; repeat those, or leave it out")
    }
  }
}

/// The SELECT of a page.
struct DeadLetterSelect {
  /// Bytes of original readings in a page, 1 MiB: a page is one message. One dead letter is always given.
  static let maximumPageBytes: Int64 = 1 << 20

  let filter: DeadLetterFilter
  let limit: Int
  let after: DeadLetterPageToken?

  /// First the keys and sizes, then the rows: large ones must not be read only to be left out.
  func run(_ connection: PostgresConnection) throws(PostgresError) -> DeadLetterPage {
    var parameters: [PostgresValue] = []
    var conditions = filter.conditions(&parameters)
    if let after {
      parameters += [.timestamp(after.receivedAt), .int64(after.id)]
      conditions += " AND (received_at, id) < ($\(parameters.count - 1), $\(parameters.count))"
    }
    let keys = try connection.query("""
      SELECT id, received_at, octet_length(original)::bigint FROM dead_letters WHERE \(conditions)
      ORDER BY received_at DESC, id DESC LIMIT \(limit + 1)
      """, parameters)
    var count = 0
    var bytes: Int64 = 0
    while count < min(limit, keys.count) {
      bytes += keys.int64(count, 2)
      if count > 0, bytes > Self.maximumPageBytes { break }
      count += 1
    }
    let letters = try rows((0..<count).map { keys.int64($0, 0) }, connection)
    guard count < keys.count else { return DeadLetterPage(letters: letters, nextPageToken: "") }
    let token = DeadLetterPageToken(filterHash: filter.hash, receivedAt: keys.timestamp(count - 1, 1),
                                    id: keys.int64(count - 1, 0))
    return DeadLetterPage(letters: letters, nextPageToken: token.text)
  }

  /// Those that are there still.
  private func rows(_ ids: [Int64], _ connection: PostgresConnection) throws(PostgresError) -> [StoredDeadLetter] {
    let rows = try connection.query("""
      SELECT id, reason, field, device_id, reading_timestamp, producer_id, sequence, principal, received_at,
        last_attempt_at, attempts, original
      FROM dead_letters WHERE id = ANY($1) ORDER BY received_at DESC, id DESC
      """, [.int64s(ids)])
    return (0..<rows.count).map { row in
      let producerID = rows.text(row, 5)
      // The server's own, for readings that came without a producer.
      let isOwn = producerID.hasPrefix("~")
      return StoredDeadLetter(
        id: rows.int64(row, 0), reason: rows.text(row, 1), field: rows.text(row, 2), deviceID: rows.text(row, 3),
        readingTimestamp: rows.isNull(row, 4) ? nil : rows.timestamp(row, 4), producerID: isOwn ? "" : producerID,
        sequence: isOwn ? 0 : UInt64(clamping: rows.int64(row, 6)), principal: rows.text(row, 7),
        receivedAt: rows.timestamp(row, 8), lastAttemptAt: rows.timestamp(row, 9),
        attempts: UInt32(clamping: rows.int32(row, 10)), original: rows.bytes(row, 11))
    }
  }
}
