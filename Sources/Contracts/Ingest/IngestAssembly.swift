// Builds a batch reading by reading, with a verdict for each that is not stored.
import Telemetry

/// A batch in the making. `begin` takes the caller's batch and `end` gives it back, so that nothing is copied.
struct IngestAssembly {
  let rules: ReadingRules
  /// Microseconds since 1970.
  let now: Int64
  var batch = ReadingBatch()
  var result = BatchResult()
  var deadLetters: [DeadLetter] = []
  /// Index in the message of the next reading.
  var nextIndex: UInt32 = 0

  private var readingsBefore = 0
  private var textBefore = 0
  private var isComplete = false
  /// The last texts: a run of readings of one device shares them.
  private var device = TextSlice(offset: 0, byteCount: 0)
  private var source = TextSlice(offset: 0, byteCount: 0)

  init(rules: ReadingRules, now: Int64) {
    self.rules = rules
    self.now = now
  }

  mutating func begin(_ batch: inout ReadingBatch) {
    swap(&self.batch, &batch)
    readingsBefore = self.batch.readings.count
    textBefore = self.batch.text.count
  }

  /// Gives the batch back; as it was, unless `head` was reached.
  mutating func end(_ batch: inout ReadingBatch) {
    if !isComplete {
      self.batch.readings.removeLast(self.batch.readings.count - readingsBefore)
      self.batch.text.removeLast(self.batch.text.count - textBefore)
    }
    swap(&self.batch, &batch)
  }

  mutating func head(producerID: String, sequence: UInt64, ackLevel: AckLevel) -> IngestHead {
    isComplete = true
    result.sequence = sequence
    result.stored = UInt32(batch.readings.count - readingsBefore)
    return IngestHead(producerID: producerID, sequence: sequence, ackLevel: ackLevel, result: result,
                      deadLetters: deadLetters)
  }

  /// All readings: rows first, then the samples of the blocks.
  mutating func add(_ parts: BatchParts, in bytes: Span<UInt8>) throws(WireError) {
    batch.readings.reserveCapacity(batch.readings.count + parts.readingCount)
    if parts.rowCount > 0 {
      try add(rowsOf: parts.first, parts.layout, in: bytes)
      for piece in parts.rest { try add(rowsOf: piece, parts.layout, in: bytes) }
    }
    for block in parts.blocks { try add(block: block, in: bytes) }
  }

  private mutating func add(rowsOf piece: Range<Int>, _ layout: BatchParts.Layout,
                            in bytes: Span<UInt8>) throws(WireError) {
    let readings = WireTag(layout.readings, .bytes)
    var cursor = WireCursor(piece)
    while !cursor.isAtEnd {
      let tag = try cursor.tag(in: bytes)
      if tag == readings {
        try add(row: cursor.payload(in: bytes), in: bytes)
      } else {
        try cursor.skip(tag, in: bytes)
      }
    }
  }

  mutating func add(row: Range<Int>, in bytes: Span<UInt8>) throws(WireError) {
    var fields = ReadingRow()
    try fields.merge(row, in: bytes)
    if let problem = take(&fields, in: bytes) {
      quarantine(problem, fields, original: [UInt8](span: bytes.extracting(row)))
    }
  }

  /// A reading that came in several pieces. Put after one another they are the same reading.
  mutating func add(row pieces: [Range<Int>], in bytes: Span<UInt8>) throws(WireError) {
    var fields = ReadingRow()
    for piece in pieces { try fields.merge(piece, in: bytes) }
    if let problem = take(&fields, in: bytes) {
      var original: [UInt8] = []
      for piece in pieces { original += [UInt8](span: bytes.extracting(piece)) }
      quarantine(problem, fields, original: original)
    }
  }

  /// Appends the reading, or rejects it, or returns why it is to be quarantined.
  @inline(__always)
  private mutating func take(_ fields: inout ReadingRow, in bytes: Span<UInt8>) -> ReadingRules.Problem? {
    guard let device = deviceID(fields.deviceID, in: bytes) else {
      reject(.invalidDeviceID, "device_id")
      return nil
    }
    guard let source = sourceSystem(fields.sourceSystem, in: bytes) else {
      reject(.invalidSourceSystem, "source_system")
      return nil
    }
    fields.reading.deviceID = device
    fields.reading.sourceSystem = source
    guard fields.hasTimestamp else { return ReadingRules.Problem(.missingTimestamp, "timestamp") }
    guard let timestamp = fields.timestamp else { return ReadingRules.Problem(.invalidTimestamp, "timestamp") }
    fields.reading.timestamp = timestamp
    if let problem = rules.check(&fields.reading, now: now, look: fields.look) { return problem }
    batch.readings.append(fields.reading)
    nextIndex += 1
    return nil
  }

  private mutating func quarantine(_ problem: ReadingRules.Problem, _ fields: ReadingRow, original: [UInt8]) {
    let timestamp = fields.hasTimestamp ? fields.timestamp : nil
    quarantine(problem, device: fields.reading.deviceID, original: original, timestamp: timestamp)
  }

  /// Keeps a reading as a dead letter and counts it.
  mutating func quarantine(_ problem: ReadingRules.Problem, device: TextSlice, original: [UInt8], timestamp: Int64?) {
    result.add(Verdict(firstIndex: nextIndex, outcome: .quarantined, reason: problem.reason, field: problem.field))
    deadLetters.append(DeadLetter(reason: problem.reason, field: problem.field, deviceID: batch.string(device),
                                  readingTimestamp: timestamp, original: original))
    nextIndex += 1
  }

  /// Counts readings that are kept nowhere.
  mutating func reject(_ reason: Verdict.Reason, _ field: String, count: UInt32 = 1) {
    result.add(Verdict(firstIndex: nextIndex, count: count, outcome: .rejected, reason: reason, field: field))
    nextIndex += count
  }

  /// The text of a valid device id, shared with the reading before when it is the same; nil when it is not valid.
  mutating func deviceID(_ range: Range<Int>, in bytes: Span<UInt8>) -> TextSlice? {
    if device.byteCount > 0, batch.text(device, equals: range, of: bytes) { return device }
    guard ReadingRules.isValidID(bytes.extracting(range)) else { return nil }
    device = batch.add(text: range, of: bytes)
    return device
  }

  /// The text of a source system; empty for the default. nil when it is no short text without NUL.
  mutating func sourceSystem(_ range: Range<Int>, in bytes: Span<UInt8>) -> TextSlice? {
    if range.isEmpty { return TextSlice(offset: 0, byteCount: 0) }
    if source.byteCount > 0, batch.text(source, equals: range, of: bytes) { return source }
    let text = bytes.extracting(range)
    guard ReadingRules.isValidSourceSystem(text) else { return nil }
    if ReadingRules.isDefaultSourceSystem(text) { return TextSlice(offset: 0, byteCount: 0) }
    source = batch.add(text: range, of: bytes)
    return source
  }
}
