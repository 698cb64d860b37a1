// Counts what an HTTP transport tells about its exchanges: each is told its end once, and nothing after it.
import HTTPCore

/// Passes everything on.
final class WatchedHandler: HTTPHandler {
  private let handler: any HTTPHandler
  fileprivate(set) var openCount = 0
  /// Of what was accepted, whoever takes it.
  var heads: [HTTPFields] = []
  /// The first broken promise.
  fileprivate(set) var finding: FuzzFinding?

  init(_ handler: any HTTPHandler) { self.handler = handler }

  func accept(_ exchange: any HTTPExchange) -> (any HTTPExchangeDelegate)? {
    heads.append(exchange.head.fields)
    guard let delegate = handler.accept(exchange) else { return nil }
    openCount += 1
    return WatchedDelegate(delegate, of: self)
  }

  func drain() { handler.drain() }
}

private final class WatchedDelegate: HTTPExchangeDelegate {
  private let delegate: any HTTPExchangeDelegate
  private let watch: WatchedHandler
  private var hasEnded = false
  private var isClosed = false

  init(_ delegate: any HTTPExchangeDelegate, of watch: WatchedHandler) {
    self.delegate = delegate
    self.watch = watch
  }

  func exchangeReceivedBody() {
    expect(!hasEnded, "body after its end")
    delegate.exchangeReceivedBody()
  }

  func exchangeReceivedEnd() {
    expect(!hasEnded, "a second end")
    hasEnded = true
    delegate.exchangeReceivedEnd()
  }

  func exchangeClosed() {
    expect(true, "")
    isClosed = true
    watch.openCount -= 1
    delegate.exchangeClosed()
  }

  func exchangeDrained() {
    expect(true, "")
    delegate.exchangeDrained()
  }

  func connectionIsDraining() {
    expect(true, "")
    delegate.connectionIsDraining()
  }

  private func expect(_ holds: Bool, _ what: String) {
    guard isClosed || !holds, watch.finding == nil else { return }
    watch.finding = FuzzFinding("an exchange is told \(isClosed ? "something after it has closed" : what)")
  }
}
