// Finds the parts of a batch, before any of them is decoded.

/// Where the rows and blocks of a batch lie, and how many readings they hold: known first, so that a batch over the
/// limit costs no memory, and so that rows come before blocks whatever their order on the wire.
struct BatchParts {
  /// Field numbers of the two messages that hold a batch.
  struct Layout {
    var producerID: UInt32?
    var ackLevel: UInt32?
    var sequence: UInt32
    var readings: UInt32
    var blocks: UInt32

    /// esp.v1.IngestRequest
    static let ingestRequest = Layout(producerID: 1, ackLevel: 3, sequence: 2, readings: 4, blocks: 5)
    /// esp.v1.Batch
    static let streamBatch = Layout(producerID: nil, ackLevel: nil, sequence: 1, readings: 2, blocks: 3)
  }

  let layout: Layout
  /// The message, or the first piece of it; an array for the one piece that nearly every message has would be an
  /// allocation a request.
  let first: Range<Int>
  /// More pieces, when it came in several fields, which protobuf merges.
  let rest: [Range<Int>]
  private(set) var producerID = 0..<0
  private(set) var sequence: UInt64 = 0
  private(set) var ackLevel: Int32 = 0
  private(set) var rowCount = 0
  /// Blocks that hold samples, as long as the batch is within its limit.
  private(set) var blocks: [Range<Int>] = []
  private(set) var readingCount = 0

  init(_ layout: Layout, in bytes: Span<UInt8>, first: Range<Int>, rest: [Range<Int>] = [],
       maximum: Int) throws(WireError) {
    self.layout = layout
    self.first = first
    self.rest = rest
    try scan(first, in: bytes, maximum: maximum)
    for piece in rest { try scan(piece, in: bytes, maximum: maximum) }
  }

  private mutating func scan(_ piece: Range<Int>, in bytes: Span<UInt8>, maximum: Int) throws(WireError) {
    var cursor = WireCursor(piece)
    let readings = WireTag(layout.readings, .bytes)
    while !cursor.isAtEnd {
      let tag = try cursor.tag(in: bytes)
      if tag == readings {
        _ = try cursor.payload(in: bytes)
        rowCount += 1
        readingCount += 1
        continue
      }
      switch (tag.number, tag.type) {
      case (layout.blocks, .bytes):
        let block = try cursor.payload(in: bytes)
        let sampleCount = try BlockShape(block, in: bytes).sampleCount
        readingCount += sampleCount
        if sampleCount > 0, readingCount <= maximum { blocks.append(block) }
      case (layout.sequence, .varint): sequence = try cursor.varint(in: bytes)
      case (layout.producerID, .bytes): producerID = try cursor.payload(in: bytes)
      case (layout.ackLevel, .varint): ackLevel = Int32(truncatingIfNeeded: try cursor.varint(in: bytes))
      default: try cursor.skip(tag, in: bytes)
      }
    }
  }
}
