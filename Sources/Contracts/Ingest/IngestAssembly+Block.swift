// Takes the samples of an esp.v1.ReadingBlock: columns on the wire, rows in the batch.
import Telemetry

extension IngestAssembly {
  /// Judges and appends the samples of a block. A block that is malformed is rejected as a whole.
  mutating func add(block: Range<Int>, in bytes: Span<UInt8>) throws(WireError) {
    let shape = try BlockShape(block, in: bytes)
    let count = shape.sampleCount
    guard let device = deviceID(shape.deviceID, in: bytes) else {
      return reject(.invalidDeviceID, "device_id", count: UInt32(count))
    }
    guard let source = sourceSystem(shape.sourceSystem, in: bytes) else {
      return reject(.invalidSourceSystem, "source_system", count: UInt32(count))
    }
    if let field = shape.fieldAtFault {
      return reject(.invalidBlock, field, count: UInt32(count))
    }
    let first = batch.readings.count
    var sample = Reading(timestamp: shape.startTime, deviceID: device)
    sample.sourceSystem = source
    batch.readings.append(contentsOf: repeatElement(sample, count: count))
    var columns = BlockColumns(first: first, startTime: shape.startTime)
    var samples = batch.readings.mutableSpan
    try columns.fill(&samples, from: block, in: bytes)
    judge(from: first, timed: columns.timedCount)
  }

  /// Keeps the good samples from `first` on, in order, and quarantines the others. Those after the first `timed` have
  /// a time that does not fit 64 bits.
  private mutating func judge(from first: Int, timed: Int) {
    var kept = first
    for position in first..<batch.readings.count {
      var reading = batch.readings[position]
      let isTimed = position - first < timed && ReadingRow.microseconds.contains(reading.timestamp)
      let problem = isTimed ? rules.check(&reading, now: now) : ReadingRules.Problem(.invalidTimestamp, "timestamp")
      if let problem {
        // As it was sent: the check has taken sentinels out of its copy.
        let sent = batch.readings[position]
        let original = ReadingWriting.serialize(sent, hasTimestamp: position - first < timed, in: batch)
        quarantine(problem, device: reading.deviceID, original: original, timestamp: isTimed ? reading.timestamp : nil)
      } else {
        batch.readings[kept] = reading
        kept += 1
        nextIndex += 1
      }
    }
    batch.readings.removeLast(batch.readings.count - kept)
  }
}

/// Fills the rows of a block from its columns, piece by piece as they come.
private struct BlockColumns {
  /// Index of the first sample in the rows.
  let first: Int
  private var time: Int64
  private var timeCount = 0
  private var isTimeLost = false
  /// Samples whose time fits 64 bits.
  private(set) var timedCount = 0
  /// Values seen, by `Signal.rawValue`.
  private var counts = InlineArray<13, Int>(repeating: 0)

  init(first: Int, startTime: Int64) {
    self.first = first
    time = startTime
  }

  mutating func fill(
    _ samples: inout MutableSpan<Reading>, from block: Range<Int>, in bytes: Span<UInt8>
  ) throws(WireError) {
    var cursor = WireCursor(block)
    while !cursor.isAtEnd {
      let tag = try cursor.tag(in: bytes)
      switch (BlockShape.signal(tag.number), tag.number, tag.type) {
      case (let signal?, _, .bytes): fillColumn(signal, &samples, from: try cursor.payload(in: bytes), in: bytes)
      case (let signal?, _, .fixed32): set(signal, try cursor.fixed32(in: bytes), &samples)
      case (nil, 3, .bytes):
        var times = WireCursor(try cursor.payload(in: bytes))
        while !times.isAtEnd { step(try times.varint(in: bytes), &samples) }
      case (nil, 3, .varint): step(try cursor.varint(in: bytes), &samples)
      default: try cursor.skip(tag, in: bytes)
      }
    }
  }

  private mutating func fillColumn(
    _ signal: Int, _ samples: inout MutableSpan<Reading>, from column: Range<Int>, in bytes: Span<UInt8>
  ) {
    for position in stride(from: column.lowerBound, to: column.upperBound, by: 4) {
      set(signal, WireCursor.fixed32(in: bytes, at: position), &samples)
    }
  }

  /// NaN stands for a missing value.
  @inline(__always)
  private mutating func set(_ signal: Int, _ bits: UInt32, _ samples: inout MutableSpan<Reading>) {
    let index = first + counts[signal]
    counts[signal] += 1
    let value = Float(bitPattern: bits)
    if value.isNaN { return }
    samples[index].values[signal] = value
    let bit: UInt16 = 1 << UInt16(truncatingIfNeeded: signal)
    samples[index].signals = SignalSet(rawValue: samples[index].signals.rawValue | bit)
  }

  /// The next sample is this much later; uint32 keeps the low 32 bits of what was sent.
  @inline(__always)
  private mutating func step(_ varint: UInt64, _ samples: inout MutableSpan<Reading>) {
    let delta = Int64(UInt32(truncatingIfNeeded: varint))
    let (next, isOverflow) = time.addingReportingOverflow(delta)
    if isOverflow { isTimeLost = true }
    time = next
    samples[first + timeCount].timestamp = next
    timeCount += 1
    if !isTimeLost { timedCount += 1 }
  }
}
