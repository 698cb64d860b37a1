// Finds out which message of an ingest stream came.

/// The member of `esp.v1.IngestStreamRequest` that is set.
enum StreamParts {
  case open(OpenParts)
  case batch(BatchParts)
  case empty

  init(in bytes: Span<UInt8>, maximum: Int) throws(WireError) {
    // Of a oneof the last member wins; the same member twice in a row is one message in two pieces.
    var member: UInt32 = 0
    var first = 0..<0
    var rest: [Range<Int>] = []
    var cursor = WireCursor(0..<bytes.count)
    while !cursor.isAtEnd {
      let tag = try cursor.tag(in: bytes)
      guard tag == WireTag(1, .bytes) || tag == WireTag(2, .bytes) else {
        try cursor.skip(tag, in: bytes)
        continue
      }
      let piece = try cursor.payload(in: bytes)
      if tag.number == member {
        rest.append(piece)
      } else {
        first = piece
        rest.removeAll()
      }
      member = tag.number
    }
    switch member {
    case 1: self = .open(try OpenParts(in: bytes, pieces: [first] + rest))
    case 2: self = .batch(try BatchParts(.streamBatch, in: bytes, first: first, rest: rest, maximum: maximum))
    default: self = .empty
    }
  }
}

/// The fields of `esp.v1.OpenStream`.
struct OpenParts {
  private(set) var producerID = 0..<0
  private(set) var ackLevel: Int32 = 0
  private(set) var isHistorical = false

  init(in bytes: Span<UInt8>, pieces: [Range<Int>]) throws(WireError) {
    for piece in pieces {
      var cursor = WireCursor(piece)
      while !cursor.isAtEnd {
        let tag = try cursor.tag(in: bytes)
        switch tag {
        case WireTag(1, .bytes): producerID = try cursor.payload(in: bytes)
        case WireTag(2, .varint): ackLevel = Int32(truncatingIfNeeded: try cursor.varint(in: bytes))
        case WireTag(3, .varint): isHistorical = try cursor.varint(in: bytes) != 0
        default: try cursor.skip(tag, in: bytes)
        }
      }
    }
  }
}

/// The places of one message field, in order: more than one when the sender wrote it in pieces.
struct MessagePieces {
  private(set) var ranges: [Range<Int>] = []

  init(of number: UInt32, in bytes: Span<UInt8>) throws(WireError) {
    var cursor = WireCursor(0..<bytes.count)
    while !cursor.isAtEnd {
      let tag = try cursor.tag(in: bytes)
      if tag == WireTag(number, .bytes) {
        ranges.append(try cursor.payload(in: bytes))
      } else {
        try cursor.skip(tag, in: bytes)
      }
    }
  }
}
