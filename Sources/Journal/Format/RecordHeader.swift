// How a record stands in its segment: a header of 40 bytes, producer, principal, payload, zeros up to a multiple of 8.

/// Little endian: mark (2), kind (1), flags (1), length without the zeros (4), durable offset (4), CRC-32C of what
/// follows the header (4), sequence (8), receive time (8), lengths of producer and principal (2, 2), CRC-32C of
/// segment, offset and the header so far (4).
///
/// Two checksums: the long one is made by whoever appends, the short one by the writer, for the place of the record is
/// known late. Segment and offset are in it, so that what an earlier use of the file left never passes for a record.
struct RecordHeader {
  static let byteCount = 40
  static let alignment = 8
  private static let mark: UInt16 = 0x4A45

  var kind: UInt8
  var flags: UInt8
  /// Header, producer, principal, payload.
  var length: Int
  /// All bytes of the segment before this offset were synced when this record was written.
  var durableBefore: UInt32
  var bodyCRC: UInt32
  var sequence: UInt64
  var receivedAt: Int64
  var producerBytes: UInt16
  var principalBytes: UInt16

  /// With the zeros behind it.
  var paddedLength: Int { Self.padded(length) }

  static func padded(_ length: Int) -> Int { (length + alignment - 1) / alignment * alignment }

  /// For a record that is to be appended; `durableBefore` comes with `seal`.
  init(_ record: borrowing JournalRecord, length: Int) {
    kind = record.kind
    flags = record.flags
    self.length = length
    durableBefore = 0
    sequence = record.sequence
    receivedAt = record.receivedAt
    producerBytes = UInt16(record.producerID.utf8.count)
    principalBytes = UInt16(record.principal.utf8.count)
    var crc = CRC32C()
    crc.update(record.producerID.utf8.span)
    crc.update(record.principal.utf8.span)
    crc.update(record.payload.span)
    bodyCRC = crc.value
  }

  static func length(of record: borrowing JournalRecord) -> Int {
    byteCount + record.producerID.utf8.count + record.principal.utf8.count + record.payload.count
  }

  /// Nil when no record of this segment begins at `offset`; only the header is looked at.
  init?(_ bytes: Span<UInt8>, at position: JournalPosition) {
    guard bytes.count >= Self.byteCount, bytes.integer(at: 0) == Self.mark else { return nil }
    length = Int(bytes.integer(at: 4, as: UInt32.self))
    producerBytes = bytes.integer(at: 32)
    principalBytes = bytes.integer(at: 34)
    guard length >= Self.byteCount + Int(producerBytes) + Int(principalBytes),
      Self.crc(bytes, at: position) == bytes.integer(at: 36)
    else { return nil }
    kind = bytes[2]
    flags = bytes[3]
    durableBefore = bytes.integer(at: 8)
    bodyCRC = bytes.integer(at: 12)
    sequence = bytes.integer(at: 16)
    receivedAt = Int64(bitPattern: bytes.integer(at: 24))
  }

  /// Appends header, strings, payload and zeros; the durable offset and the second checksum are still missing.
  func append(_ record: borrowing JournalRecord, to bytes: inout [UInt8]) {
    bytes.append(littleEndian: Self.mark)
    bytes.append(kind)
    bytes.append(flags)
    bytes.append(littleEndian: UInt32(length))
    bytes.append(littleEndian: UInt32(0))
    bytes.append(littleEndian: bodyCRC)
    bytes.append(littleEndian: sequence)
    bytes.append(littleEndian: UInt64(bitPattern: receivedAt))
    bytes.append(littleEndian: producerBytes)
    bytes.append(littleEndian: principalBytes)
    bytes.append(littleEndian: UInt32(0))
    bytes.append(contentsOf: record.producerID.utf8)
    bytes.append(contentsOf: record.principal.utf8)
    bytes.append(contentsOf: record.payload)
    for _ in length..<paddedLength { bytes.append(0) }
  }

  /// Completes the record that `append` put at `index`.
  static func seal(_ bytes: inout [UInt8], at index: Int, position: JournalPosition, durableBefore: UInt32) {
    bytes.replace(at: index + 8, littleEndian: durableBefore)
    let crc = crc(bytes.span.extracting(index..<(index + byteCount)), at: position)
    bytes.replace(at: index + 36, littleEndian: crc)
  }

  func matches(body: Span<UInt8>) -> Bool {
    var crc = CRC32C()
    crc.update(body)
    return crc.value == bodyCRC
  }

  /// `body` is what follows the header, and matches.
  func record(body: Span<UInt8>) -> JournalRecord {
    let (producer, principal) = (Int(producerBytes), Int(producerBytes) + Int(principalBytes))
    return JournalRecord(
      kind: kind, producerID: body.extracting(0..<producer).text, sequence: sequence,
      principal: body.extracting(producer..<principal).text, receivedAt: receivedAt, flags: flags,
      payload: body.extracting(principal..<body.count).array)
  }

  private static func crc(_ header: Span<UInt8>, at position: JournalPosition) -> UInt32 {
    var crc = CRC32C()
    crc.update(position.segment)
    crc.update(position.offset)
    crc.update(header.extracting(0..<36))
    return crc.value
  }
}
