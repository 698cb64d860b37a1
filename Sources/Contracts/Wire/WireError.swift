// Why bytes are not protobuf, and where.

/// The first thing in a message that breaks the wire format.
struct WireError: Error, Equatable {
  enum Fault: String {
    case truncated = "the input ends inside a field"
    case varintTooLong = "a varint of more than 10 bytes"
    case lengthTooLong = "a length of more than 5 bytes"
    case invalidTag = "a field number outside 1..536870911"
    case invalidWireType = "a wire type that does not exist"
    case unmatchedGroup = "a group that is not opened or not closed"
    case tooDeep = "groups nested too deeply"
    case oddLength = "a packed field whose length is no multiple of its elements'"
  }

  var fault: Fault
  /// Offset from the start of the message, bytes.
  var position: Int

  init(_ fault: Fault, at position: Int) {
    self.fault = fault
    self.position = position
  }
}
