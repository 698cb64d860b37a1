// The bytes of a response head and of a chunk (RFC 9112 4, 7.1).
internal import HTTPCore
internal import NIOCore
internal import NIOHTTP1

/// Appends the parts of a response to what is to be sent.
enum HTTP1Response {
  static func appendStatusLine(_ status: Int, to output: inout ByteBuffer) {
    output.writeString("HTTP/1.1 \(status) \(HTTPResponseStatus(statusCode: status).reasonPhrase)\r\n")
  }

  static func append(_ fields: HTTPFields, to output: inout ByteBuffer) {
    fields.forEach { name, value in
      appendClean(name, to: &output)
      output.writeStaticString(": ")
      appendClean(value, to: &output)
      output.writeStaticString("\r\n")
    }
  }

  static func append(_ name: StaticString, _ value: String, to output: inout ByteBuffer) {
    output.writeStaticString(name)
    output.writeString(": \(value)\r\n")
  }

  static func appendChunk(_ bytes: [UInt8], to output: inout ByteBuffer) {
    output.writeString("\(String(bytes.count, radix: 16))\r\n")
    output.writeBytes(bytes)
    output.writeStaticString("\r\n")
  }

  /// A whole response, for a request that never got to a handler.
  static func append(_ refusal: HTTP1Refusal, to output: inout ByteBuffer) {
    let text = refusal.reason + "\n"
    appendStatusLine(refusal.status, to: &output)
    append("content-type", "text/plain; charset=utf-8", to: &output)
    append("content-length", "\(text.utf8.count)", to: &output)
    append("connection", "close", to: &output)
    output.writeString("\r\n\(text)")
  }

  /// A line end within a value would begin a field, or a response, of somebody else's making (RFC 9110 5.5).
  private static func appendClean(_ bytes: Span<UInt8>, to output: inout ByteBuffer) {
    for index in bytes.indices {
      let byte = bytes[index]
      output.writeInteger(byte < 0x20 && byte != UInt8(ascii: "\t") || byte == 0x7F ? UInt8(ascii: " ") : byte)
    }
  }
}
