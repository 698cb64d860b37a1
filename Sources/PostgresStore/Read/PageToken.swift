// The opaque text with which a client asks for the next page of readings.
import Status

/// Where a walk through the readings stands: after the first `skip` readings that have exactly this key.
struct ReadingKey: Sendable, Equatable {
  var timestamp: Int64
  var deviceID: String
  /// Readings with exactly this key that have been returned.
  var skip: Int
}

/// A page token: a version, the hash of the filters, the range (its defaults were filled in once, for the first page),
/// and the key.
struct PageToken: Equatable {
  private static let version: UInt8 = 1

  var filterHash: UInt64
  var range: Range<Int64>
  var key: ReadingKey

  var text: String {
    var bytes = [Self.version]
    bytes += filterHash.networkBytes + range.lowerBound.networkBytes + range.upperBound.networkBytes
    bytes += key.timestamp.networkBytes + UInt32(clamping: key.skip).networkBytes + Array(key.deviceID.utf8)
    return OpaqueToken.text(of: bytes)
  }

  init(filterHash: UInt64, range: Range<Int64>, key: ReadingKey) {
    self.filterHash = filterHash
    self.range = range
    self.key = key
  }

  /// Throws INVALID_ARGUMENT for anything that we did not make, or made for another query.
  init(_ text: String, for query: ReadingQuery) throws(RPCStatus) {
    let bytes = OpaqueToken.bytes(of: text)[...]
    guard bytes.count > 37, bytes[0] == Self.version,
          let deviceID = String(validating: bytes[37...], as: UTF8.self) else { throw Self.malformed }
    filterHash = Self.integer(bytes[1..<9])
    let (start, end) = (Int64(bitPattern: Self.integer(bytes[9..<17])), Int64(bitPattern: Self.integer(bytes[17..<25])))
    guard start <= end, !deviceID.utf8.contains(0) else { throw Self.malformed }
    range = start..<end
    key = ReadingKey(timestamp: Int64(bitPattern: Self.integer(bytes[25..<33])), deviceID: deviceID,
                     skip: Int(Self.integer(bytes[33..<37])))
    guard range.contains(key.timestamp) else { throw Self.malformed }
    guard filterHash == query.filterHash else {
      throw .invalidField("page_token", "it belongs to a query with other filters; repeat those, or leave it out")
    }
  }

  private static let malformed = RPCStatus.invalidField(
    "page_token", "it is malformed; pass next_page_token as it was received")

  private static func integer(_ bytes: ArraySlice<UInt8>) -> UInt64 { OpaqueToken.integer(bytes) }
}
