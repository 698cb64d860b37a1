// Ingest messages as the journal keeps them: many requests of one loop turn as one `esp.v1.IngestRequest`.
internal import HTTPCore

/// Builds one `esp.v1.IngestRequest` of the readings of many requests. Protobuf reads two messages after one another as
/// one, so requests are simply put together.
package struct IngestMessages: Sendable {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  /// A serialized `esp.v1.IngestRequest` that was decoded without an error.
  package mutating func append(request message: Span<UInt8>) {
    bytes.append(copying: message)
  }

  /// A serialized `esp.v1.IngestReadingRequest` that was decoded without an error: its reading becomes a row.
  package mutating func append(readingRequest message: Span<UInt8>) {
    // Decoded before: there is nothing to be thrown here.
    guard let pieces = try? MessagePieces(of: 1, in: message) else { return }
    bytes.append(WireTag(4, .bytes))
    bytes.append(varint: UInt64(pieces.ranges.reduce(0) { $0 + $1.count }))
    for piece in pieces.ranges { bytes.append(copying: message.extracting(piece)) }
  }

  /// Gives the bytes away and begins anew.
  package mutating func take() -> [UInt8] {
    defer { bytes = [] }
    return bytes
  }
}
