// The opaque text with which a client asks for the next page.
import Foundation
import Status

/// Where a walk through the readings stands: after the first `skip` readings that have exactly this key.
struct ReadingKey: Sendable, Equatable {
  var timestamp: Int64
  var deviceID: String
  /// Readings with exactly this key that have been returned.
  var skip: Int
}

/// A page token: base64url of a version, the hash of the filters, the range (its defaults were filled in once, for the
/// first page), the key, and a checksum: a token that was cut short is malformed, not a token for another place.
struct PageToken: Equatable {
  private static let version: UInt8 = 1

  var filterHash: UInt64
  var range: Range<Int64>
  var key: ReadingKey

  var text: String {
    var bytes = [Self.version]
    bytes += filterHash.networkBytes + range.lowerBound.networkBytes + range.upperBound.networkBytes
    bytes += key.timestamp.networkBytes + UInt32(clamping: key.skip).networkBytes + Array(key.deviceID.utf8)
    bytes += Self.checksum(bytes[...])
    let base64 = Data(bytes).base64EncodedString()
    return base64.replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
  }

  init(filterHash: UInt64, range: Range<Int64>, key: ReadingKey) {
    self.filterHash = filterHash
    self.range = range
    self.key = key
  }

  /// Throws INVALID_ARGUMENT for anything that we did not make, or made for another query.
  init(_ text: String, for query: ReadingQuery) throws(RPCStatus) {
    let padded = text.replacing("-", with: "+").replacing("_", with: "/")
      + String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
    let all = [UInt8](Data(base64Encoded: padded) ?? Data())
    let bytes = all.dropLast(4)
    guard bytes.count > 37, bytes[0] == Self.version, Self.checksum(bytes) == Array(all.suffix(4)),
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

  /// FNV-1a: against accidents. A forged token only reads what its query could have read anyway.
  private static func checksum(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    bytes.reduce(UInt32(0x811C_9DC5)) { ($0 ^ UInt32($1)) &* 0x0100_0193 }.networkBytes
  }

  private static func integer(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
}
