// What a generated message can do: bytes in, bytes out.

/// A message as a Swift value. Conformances are generated (`proto/generate.sh`); nobody writes one.
package protocol ProtobufMessage: ProtobufValue {
  /// libprotobuf-c's description of the message.
  static var protobufType: ProtobufType { get }

  /// All fields absent or at their proto3 defaults.
  init()

  /// Reads the fields of an unpacked message.
  init(from reader: borrowing ProtobufReader) throws(ProtobufError)

  /// Sets the fields of a message that is about to be packed.
  func write(to writer: borrowing ProtobufWriter)
}

extension ProtobufMessage {
  /// The full name, for example "esp.v1.Reading".
  package static var protobufName: String { protobufType.name }

  /// A value with some fields set: `ESPV1.Gap.with { $0.count = 3 }`.
  package static func with(_ change: (inout Self) -> Void) -> Self {
    var message = Self()
    change(&message)
    return message
  }

  /// Reads wire bytes. The caller has bounded their size; unknown fields are dropped, unknown enum numbers kept.
  ///
  /// Where libprotobuf-c 1.4.1 leaves the specification: a known field of another wire type and any group are refused
  /// instead of skipped; a singular message field that comes twice is refused or loses fields instead of being merged.
  package init(serialized bytes: Span<UInt8>) throws(ProtobufError) {
    self = try ProtobufCoding.unpack(bytes)
  }

  /// Appends the wire bytes, fields in the order of their numbers, maps in the order of their keys.
  package func serialize(into output: inout [UInt8]) {
    ProtobufCoding.pack(self, into: &output)
  }

  package func serialized() -> [UInt8] {
    var output: [UInt8] = []
    serialize(into: &output)
    return output
  }
}
