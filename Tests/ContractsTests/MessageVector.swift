// A message as Swift beside the bytes that another implementation of protobuf writes for it.
import Contracts
import Protobuf
import Testing

/// One value and its wire bytes; the values are generated (`Generated/MessageVectors.swift`).
struct MessageVector: Sendable, CustomTestStringConvertible {
  let name: String
  let bytes: [UInt8]
  let encode: @Sendable () -> [UInt8]
  /// Decodes bytes, and says whether they give the value of this vector.
  let decodes: @Sendable ([UInt8]) throws -> Bool
  /// Decodes bytes and encodes what came out.
  let recode: @Sendable ([UInt8]) throws -> [UInt8]

  init<Message: ProtobufMessage & Equatable>(_ message: Message, hexadecimal: String) {
    name = Message.protobufName
    bytes = [UInt8](hexadecimal: hexadecimal)
    encode = { message.serialized() }
    decodes = { try Message(serialized: $0.span) == message }
    recode = { try Message(serialized: $0.span).serialized() }
  }

  var testDescription: String { name }
}

extension [UInt8] {
  var hexadecimal: String { map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() }

  /// Bytes written as pairs of hexadecimal digits; spaces are for the reader.
  init(hexadecimal: String) {
    let digits = hexadecimal.filter { !$0.isWhitespace }
    self = stride(from: 0, to: digits.count, by: 2).map { position in
      let start = digits.index(digits.startIndex, offsetBy: position)
      return UInt8(digits[start...].prefix(2), radix: 16)!
    }
  }
}
