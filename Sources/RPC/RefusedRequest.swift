// The answer to a request that is no gRPC call: an HTTP status, a field that helps, and a sentence.
internal import HTTPCore

/// Waits for the end of the request, so that a client that is still sending reads the answer, and that a request which
/// turns out to be malformed on its way is an error of HTTP and not answered.
final class RefusedRequest: HTTPExchangeDelegate {
  private var exchange: (any HTTPExchange)?
  private let status: Int
  private let field: (name: String, value: String)?
  private let sentence: String

  init(_ exchange: any HTTPExchange, status: Int, field: (String, String)?, _ sentence: String) {
    self.exchange = exchange
    self.status = status
    self.field = field
    self.sentence = sentence
  }

  func exchangeReceivedBody() {
    exchange?.body.removeAll()
    exchange?.creditReceivedBytes()
  }

  func exchangeReceivedEnd() {
    guard let exchange else { return }
    self.exchange = nil
    // The answer to HEAD has no body (RFC 9110 9.3.2).
    let isHead = exchange.head.isMethod("HEAD")
    let fields = HTTPFields([("content-type", "text/plain")] + [field].compactMap(\.self))
    exchange.respond(status: status, fields: fields, isEnd: isHead)
    guard !isHead else { return }
    exchange.write { $0.append(contentsOf: "\(sentence)\n".utf8) }
    exchange.finish(trailers: HTTPFields())
  }

  func exchangeClosed() { exchange = nil }
  func exchangeDrained() {}
  func connectionIsDraining() {}
}
