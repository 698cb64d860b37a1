// gRPC-Web between an HTTP exchange and a call: the call speaks gRPC and knows nothing of it (PROTOCOL-WEB.md of grpc).
internal import HTTPCore
internal import Status

/// Takes the place of the exchange for the call, and of the call for the exchange. Trailers become the last frame of
/// the body, flag 0x80, also when nothing came before it: a script reads the body in any case, and fields only of an
/// origin that exposes them. In text form both bodies are base64, each write of the answer padded on its own.
final class GRPCWebExchange: HTTPExchange, HTTPExchangeDelegate {
  /// First byte of the frame of trailers.
  private static let trailersFlag: UInt8 = 0x80

  private let exchange: any HTTPExchange
  private let type: GRPCContentType
  /// The body as gRPC frames it; of the binary form the exchange's own.
  private var decoded = HTTPBody()
  private var stream = Base64Stream()
  /// Set when the call has been made; until then nothing comes.
  var call: RPCCall?

  init(_ exchange: any HTTPExchange, _ type: GRPCContentType) {
    self.exchange = exchange
    self.type = type
  }

  // MARK: The exchange, for the call

  var head: HTTPRequestHead { exchange.head }
  var bufferedByteCount: Int { exchange.bufferedByteCount }
  var peer: String { exchange.peer }
  var tlsPeer: TLSPeer? { exchange.tlsPeer }
  var windows: HTTPWindows? { exchange.windows }
  var carriesTrailers: Bool { true }

  var body: HTTPBody {
    get { type.isText ? decoded : exchange.body }
    _modify { if type.isText { yield &decoded } else { yield &exchange.body } }
  }

  func respond(status: Int, fields: HTTPFields, isEnd: Bool) {
    var own = HTTPFields([("content-type", type.name)])
    var trailers = HTTPFields()
    fields.forEach { name, value in
      if name.isEqual(to: "content-type") { return }
      // Without a message everything is trailers, but for what tells the client how to send.
      if isEnd, !name.isEqual(to: "grpc-accept-encoding") {
        trailers.append(name: name, value: value)
      } else {
        own.append(name: name, value: value)
      }
    }
    exchange.respond(status: status, fields: own, isEnd: false)
    if isEnd { finish(trailers: trailers) }
  }

  func write(_ append: (inout [UInt8]) -> Void) {
    guard type.isText else { return exchange.write(append) }
    var bytes: [UInt8] = []
    append(&bytes)
    exchange.write { Base64.appendPadded(bytes, to: &$0) }
  }

  func finish(trailers: HTTPFields) {
    write { output in
      let start = output.count
      MessageFrame.append(to: &output) { Self.append(trailers, to: &$0) }
      output[start] = Self.trailersFlag
    }
    exchange.finish(trailers: HTTPFields())
  }

  func reset(_ reason: HTTPResetReason) { exchange.reset(reason) }
  func creditReceivedBytes() { exchange.creditReceivedBytes() }

  /// As in the head of an HTTP/1.1 message, without the empty line. A line end within a value would begin another.
  private static func append(_ trailers: HTTPFields, to output: inout [UInt8]) {
    trailers.forEach { name, value in
      output.append(copying: name)
      output += [UInt8(ascii: ":"), UInt8(ascii: " ")]
      for index in value.indices { output.append(value[index] < 0x20 ? UInt8(ascii: " ") : value[index]) }
      output += [UInt8(ascii: "\r"), UInt8(ascii: "\n")]
    }
  }

  // MARK: The call, for the exchange

  func exchangeReceivedBody() {
    if type.isText, !decode() { return fail() }
    call?.exchangeReceivedBody()
  }

  func exchangeReceivedEnd() {
    if type.isText {
      // The end may come together with the last of the body.
      guard decode() else { return fail() }
      var last: [UInt8] = []
      guard stream.finish(into: &last) else { return fail() }
      decoded.append(last.span)
    }
    call?.exchangeReceivedEnd()
  }

  func exchangeClosed() {
    call?.exchangeClosed()
    call = nil
  }

  func exchangeDrained() { call?.exchangeDrained() }
  func connectionIsDraining() { call?.connectionIsDraining() }

  private func decode() -> Bool {
    var bytes: [UInt8] = []
    let isBase64 = exchange.body.withBytes { stream.decode($0, into: &bytes) }
    exchange.body.removeAll()
    decoded.append(bytes.span)
    return isBase64
  }

  private func fail() {
    call?.abort(RPCStatus(.internal, "the body of an application/grpc-web-text request is not base64"))
  }
}
