// Which readings a subscriber wants, and where it has got to.
internal import PostgresStore
internal import Status

/// What a subscriber wants.
package struct LiveFilter: Sendable, Equatable {
  /// Empty = all.
  package var deviceIDs: [String] = []
  package var anomaliesOnly = false

  package init() {}
}

/// A resume token: all up to this place has been received.
struct ResumeToken: Equatable {
  private static let version: UInt8 = 1

  /// Of the feed that gave it, so that positions of another run mean nothing; 0 = it came from the table.
  var epoch: UInt64
  /// Of the last reading received.
  var position: UInt64
  /// When the last reading was stored, microseconds since 1970; later ones have not been received.
  var ingestedAt: Int64
  /// Not all devices' latest values have been received: they come again.
  var isSnapshot = false

  init(epoch: UInt64, position: UInt64, ingestedAt: Int64, isSnapshot: Bool = false) {
    self.epoch = epoch
    self.position = position
    self.ingestedAt = ingestedAt
    self.isSnapshot = isSnapshot
  }

  var text: String {
    var bytes = [Self.version, isSnapshot ? 1 : 0]
    for number in [epoch, position, UInt64(bitPattern: ingestedAt)] {
      bytes += stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> UInt64($0)) }
    }
    return OpaqueToken.text(of: bytes)
  }

  /// Throws INVALID_ARGUMENT for anything that we did not make.
  init(_ text: String) throws(RPCStatus) {
    let bytes = OpaqueToken.bytes(of: text)
    guard bytes.count == 26, bytes[0] == Self.version, bytes[1] <= 1 else {
      throw .invalidField("resume_token", "it is malformed; pass the last one as it was received, or leave it out")
    }
    isSnapshot = bytes[1] == 1
    epoch = OpaqueToken.integer(bytes[2..<10])
    position = OpaqueToken.integer(bytes[10..<18])
    ingestedAt = Int64(bitPattern: OpaqueToken.integer(bytes[18..<26]))
  }
}
