// What answers in these tests, by path, and what it saw.
import HTTPCore
import HTTPServer
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// What handlers saw, on whatever loop.
final class Observations: Sendable {
  struct State {
    var accepted: [String] = []
    /// The most that any body held.
    var largestBody = 0
    /// Exchanges that were over before they were answered.
    var cancelled = 0
  }

  private let state = Mutex(State())

  var value: State { state.withLock { $0 } }
  func note(_ change: (inout sending State) -> Void) { state.withLock { change(&$0) } }

  /// Looks until it is so; the test's own time limit ends it.
  func until(_ condition: (State) -> Bool) async throws {
    while !condition(value) { try await Task.sleep(for: .milliseconds(2)) }
  }
}

/// A server for one test on a free port, drained at its end.
func withServer(_ change: (inout HTTPServerLimits) -> Void = { _ in },
                _ body: (HTTPServer, Observations) async throws -> Void) async throws {
  var limits = HTTPServerLimits()
  limits.watchInterval = .milliseconds(10)
  change(&limits)
  let observed = Observations()
  let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
  let server = try await HTTPServer(host: "127.0.0.1", port: 0, group: .singletonMultiThreadedEventLoopGroup,
                                    limits: limits, logger: logger) { loop in TestHandler(loop, observed) }
  do { try await body(server, observed) } catch { Issue.record(error) }
  await server.drain(deadline: .zero)
}

private final class TestHandler: HTTPHandler {
  private let loop: any EventLoop
  private let observed: Observations

  init(_ loop: any EventLoop, _ observed: Observations) {
    self.loop = loop
    self.observed = observed
  }

  func drain() {}

  func accept(_ exchange: any HTTPExchange) -> (any HTTPExchangeDelegate)? {
    let path = exchange.head.path
    observed.note { $0.accepted.append(path) }
    switch path {
    case "/text": exchange.respond(status: 404, fields: HTTPFields([("x", "y")]), text: "no such thing")
    case "/refused": exchange.respond(status: 415, fields: HTTPFields(), isEnd: true)
    case "/reset": exchange.reset(.refused)
    case "/big", "/huge":
      exchange.respond(status: 200, fields: HTTPFields(), isEnd: false)
      exchange.write { $0 += [UInt8](repeating: 0x61, count: path == "/big" ? 1 << 20 : 32 << 20) }
      exchange.finish(trailers: HTTPFields())
    case "/split":
      let value = "a\r\nset-cookie: b\n\0c"
      exchange.respond(status: 200, fields: HTTPFields([("x", value)]), isEnd: true)
    case "/short", "/stream", "/exact": stream(exchange)
    default: return TestDelegate(exchange, loop, observed)
    }
    return nil
  }

  /// Three pieces, each in a turn of the loop of its own.
  private func stream(_ exchange: any HTTPExchange) {
    let lengths = ["/short": "10", "/exact": "9"]
    let fields = lengths[exchange.head.path].map { HTTPFields([("content-length", $0)]) } ?? HTTPFields()
    exchange.respond(status: 200, fields: fields, isEnd: false)
    for piece in 1...3 {
      loop.assumeIsolated().scheduleTask(in: .milliseconds(Int64(5 * piece))) {
        exchange.write { $0 += Array("<\(piece)>".utf8) }
        if piece == 3 { exchange.finish(trailers: HTTPFields([("done", "yes")])) }
      }
    }
  }
}

/// /slow answers a little later, /never not at all, /lazy takes the body in steps; the others answer at the end of the
/// request by what they got.
private final class TestDelegate: HTTPExchangeDelegate {
  private let exchange: any HTTPExchange
  private let loop: any EventLoop
  private let observed: Observations
  private var byteCount = 0
  private var isAnswered = false

  init(_ exchange: any HTTPExchange, _ loop: any EventLoop, _ observed: Observations) {
    self.exchange = exchange
    self.loop = loop
    self.observed = observed
  }

  func exchangeReceivedBody() {
    let held = exchange.body.count
    observed.note { $0.largestBody = max($0.largestBody, held) }
    switch exchange.head.path {
    case "/never": break
    case "/lazy": loop.assumeIsolated().scheduleTask(in: .milliseconds(5)) { [self] in take() }
    default: exchange.creditReceivedBytes()
    }
  }

  private func take() {
    byteCount += exchange.body.count
    exchange.body.removeAll()
    exchange.creditReceivedBytes()
  }

  func exchangeReceivedEnd() {
    switch exchange.head.path {
    case "/never": break
    case "/slow": loop.assumeIsolated().scheduleTask(in: .milliseconds(20)) { [self] in answer() }
    case "/lazy":
      take()
      answer("\(byteCount)")
    default: answer()
    }
  }

  private func answer(_ text: String? = nil) {
    isAnswered = true
    let head = exchange.head
    var fields = HTTPFields([("seen-method", head.method), ("seen-path", head.path)])
    fields.append("seen-authority", head.fields[":authority"] ?? "none")
    fields.append("seen-fields", head.fields.description.split(separator: "\n").map { $0.prefix { $0 != ":" } }
      .filter { !$0.isEmpty }.joined(separator: ","))
    exchange.respond(status: 200, fields: fields, isEnd: false)
    let body = text.map { Array($0.utf8) } ?? exchange.body.withBytes { Array(copying: $0) }
    exchange.write { $0 += body }
    exchange.finish(trailers: HTTPFields([("done", "yes")]))
  }

  func exchangeClosed() { if !isAnswered { observed.note { $0.cancelled += 1 } } }
  func exchangeDrained() {}
  func connectionIsDraining() {}
}
