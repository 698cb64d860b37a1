// One decoded reading as a fixed-size row, and the batch that holds many of them.

/// One sample of one device. Rows have a fixed size; their texts lie in the batch's `text`.
///
/// A row, not columns, because COPY writes rows: one pass over one array (DECISIONS.md, 2026-11-23).
public struct Reading: Sendable {
  /// Source time, microseconds since 1970-01-01T00:00:00Z.
  public var timestamp: Int64
  public var deviceID: TextSlice
  /// Empty = the table's default, 'scada'.
  public var sourceSystem: TextSlice
  public var signals: SignalSet
  /// OPC UA status code as the source sent it; nil = none was sent, which means Good.
  public var quality: UInt32?
  /// By `Signal.rawValue`; meaningful only where `signals` has the bit.
  public var values: InlineArray<13, Float>

  @inlinable @inline(__always) public init(timestamp: Int64, deviceID: TextSlice) {
    self.timestamp = timestamp
    self.deviceID = deviceID
    self.sourceSystem = TextSlice(offset: 0, byteCount: 0)
    self.signals = []
    self.quality = nil
    self.values = InlineArray(repeating: 0)
  }

  @inlinable public subscript(signal: Signal) -> Float? {
    get { signals.contains(signal) ? values[signal.rawValue] : nil }
    set {
      if let newValue {
        values[signal.rawValue] = newValue
        signals.insert(SignalSet(signal))
      } else {
        signals.remove(SignalSet(signal))
      }
    }
  }
}

/// A text within `ReadingBatch.text`, UTF-8.
public struct TextSlice: Sendable, Hashable {
  public var offset: UInt32
  public var byteCount: UInt32

  // Not inlined by itself across modules: 2 % of a stream's profile.
  @inlinable @inline(__always) public init(offset: UInt32, byteCount: UInt32) {
    self.offset = offset
    self.byteCount = byteCount
  }

  @inlinable public var range: Range<Int> { Int(offset)..<Int(offset) + Int(byteCount) }
}

/// Validated readings on their way to the store: two allocations whatever the count. Moves from the connection's loop
/// to the pipeline.
public struct ReadingBatch: Sendable {
  public var readings: [Reading] = []
  /// Device ids and source systems, UTF-8 without NUL; a run of readings of one device shares its text.
  public var text: [UInt8] = []

  public init() {}

  public var isEmpty: Bool { readings.isEmpty }

  public func string(_ slice: TextSlice) -> String { String(decoding: text[slice.range], as: UTF8.self) }

  /// Adds a text and returns where it lies.
  public mutating func add(text bytes: some Sequence<UInt8>) -> TextSlice {
    let offset = text.count
    text.append(contentsOf: bytes)
    return TextSlice(offset: UInt32(offset), byteCount: UInt32(text.count - offset))
  }

  /// Takes the readings from `index` on out into a batch of their own.
  public mutating func split(from index: Int) -> ReadingBatch {
    var tail = ReadingBatch()
    tail.readings.reserveCapacity(readings.count - index)
    var (device, source) = (CopiedText(), CopiedText())
    for var reading in readings[index...] {
      reading.deviceID = device.copy(reading.deviceID, from: self, to: &tail)
      reading.sourceSystem = source.copy(reading.sourceSystem, from: self, to: &tail)
      tail.readings.append(reading)
    }
    readings.removeSubrange(index...)
    return tail
  }

  /// A text that was copied last, so that a run of readings shares it again.
  private struct CopiedText {
    private var from = TextSlice(offset: 0, byteCount: 0)
    private var to = TextSlice(offset: 0, byteCount: 0)

    mutating func copy(_ slice: TextSlice, from batch: ReadingBatch, to tail: inout ReadingBatch) -> TextSlice {
      if slice.byteCount > 0, slice != from { (from, to) = (slice, tail.add(text: batch.text[slice.range])) }
      return slice.byteCount == 0 ? slice : to
    }
  }

  public mutating func removeAll(keepingCapacity: Bool) {
    readings.removeAll(keepingCapacity: keepingCapacity)
    text.removeAll(keepingCapacity: keepingCapacity)
  }
}
