// A gRPC call from head to status, on an exchange in memory: what is answered, credited, cancelled.
import HTTPCore
import NIOCore
import NIOEmbedded
import RPC
import Status
import TestSupport
import Testing

@Suite("RPC handler") struct RPCHandlerTests {
  /// What a streaming method saw.
  final class Recorder: RPCMessageReceiver {
    let call: RPCCall
    var messages: [[UInt8]] = []
    var areCompressed: [Bool] = []
    var isEnded = false
    var isCancelled = false
    var isDraining = false

    init(_ call: RPCCall) { self.call = call }

    func received(_ message: Span<UInt8>) {
      messages.append(Array(copying: message))
      areCompressed.append(call.isMessageCompressed)
    }
    func receivedEnd() { isEnded = true }
    func cancelled() { isCancelled = true }
    func serverIsDraining() { isDraining = true }
  }

  final class Fixture {
    let loop = EmbeddedEventLoop()
    var recorder: Recorder?
    var pendingCall: RPCCall?
    private(set) var handler: RPCHandler!

    init(maximumMessageBytes: Int = 4 << 20, compressesMessages: Bool = false) {
      var limits = RPCLimits()
      limits.maximumMessageBytes = maximumMessageBytes
      // Unsafe because the compiler can't know that everything runs on the test's thread.
      nonisolated(unsafe) let fixture = self
      let methods = [
        RPCMethod.unaryBytes("/test.Echo/Unary") { message, call in
          let bytes = Array(copying: message)
          call.respond { $0 += bytes }
        },
        RPCMethod.unaryBytes("/test.Echo/Later") { _, call in unsafe fixture.pendingCall = call },
        RPCMethod.streamingBytes("/test.Echo/Stream") { call in
          let recorder = Recorder(call)
          unsafe fixture.recorder = recorder
          return recorder
        },
      ]
      handler = RPCHandler(eventLoop: loop, router: RPCRouter(methods),
                           statusFields: StatusFields { _ in [1, 2, 3] }, limits: limits,
                           compressesMessages: compressesMessages)
    }

    func open(_ path: String, fields: [(String, String)] = [("content-type", "application/grpc")],
              method: String = "POST") -> MemoryExchange {
      let exchange = MemoryExchange(path: path, fields: fields, method: method)
      exchange.delegate = handler.accept(exchange)
      return exchange
    }

    /// A gRPC request with further fields.
    func open(_ path: String, adding fields: [(String, String)]) -> MemoryExchange {
      open(path, fields: [("content-type", "application/grpc")] + fields)
    }

    /// A whole unary call.
    func call(_ path: String, body: [UInt8]) -> MemoryExchange {
      let exchange = open(path)
      exchange.receive(body)
      exchange.end()
      return exchange
    }
  }

  @Test("a unary call answers message, trailers and OK") func unary() {
    let exchange = Fixture().call("/test.Echo/Unary", body: frame([7, 8, 9]))
    #expect(exchange.status == 200)
    #expect(exchange.fields["content-type"] == "application/grpc")
    #expect(exchange.messages == [[7, 8, 9]])
    #expect(exchange.grpcStatus == "0")
    #expect(exchange.uncreditedCount == 0)
  }

  @Test("a message may come in pieces of one byte") func pieces() {
    let exchange = Fixture().open("/test.Echo/Unary")
    for byte in frame([1, 2, 3, 4]) { exchange.receive([byte]) }
    exchange.end()
    #expect(exchange.messages == [[1, 2, 3, 4]])
  }

  @Test("an empty message is a message") func emptyMessage() {
    let exchange = Fixture().call("/test.Echo/Unary", body: frame([]))
    #expect(exchange.messages == [[]])
    #expect(exchange.grpcStatus == "0")
  }

  @Test("malformed requests get a status that says what is wrong", arguments: [
    ([UInt8]([]), "12", "none came"),
    (frame([1]) + frame([2]), "12", "more came"),
    ([0, 0, 0], "13", "2 bytes before the end"),
    (frame([1, 2], announcing: 10), "13", "8 bytes before the end"),
    (frame([1], flag: 1), "13", "no grpc-encoding"),
    (frame([1], flag: 7), "13", "byte 7 instead"),
    (frame([1], announcing: 101), "8", "101 bytes; the limit is 100"),
    (frame([1], announcing: 0xFFFF_FFFF), "8", "4294967295 bytes; the limit is 100"),
  ])
  func malformed(body: [UInt8], status: String, message: String) {
    let exchange = Fixture(maximumMessageBytes: 100).call("/test.Echo/Unary", body: body)
    #expect(exchange.grpcStatus == status)
    #expect(exchange.grpcMessage?.contains(message) == true, "\(exchange.grpcMessage ?? "")")
    #expect(exchange.isEnded)
  }

  @Test("the size limit is decided from the prefix, before the message has come") func tooLargeEarly() {
    let exchange = Fixture(maximumMessageBytes: 100).open("/test.Echo/Unary")
    exchange.receive(frame([], announcing: 5 << 20))
    #expect(exchange.grpcStatus == "8")
    #expect(exchange.fields["grpc-retry-pushback-ms"] == nil)
  }

  @Test("what is no gRPC call is refused in HTTP's words", arguments: [
    ("POST", [("content-type", "application/json")], 415), ("POST", [], 415),
    ("POST", [("content-type", "application/grpc-webx")], 415),
    ("POST", [("content-type", "application/grpc-web-texts")], 415),
    ("GET", [("content-type", "application/grpc-web")], 405), ("GET", [], 405), ("OPTIONS", [], 405),
    ("GET", [("content-type", "application/grpc")], 405),
  ])
  func notGRPC(method: String, fields: [(String, String)], status: Int) {
    let exchange = Fixture().open("/test.Echo/Unary", fields: fields, method: method)
    exchange.receive(Array(repeating: 7, count: 100))
    // A client that is still sending would miss the answer.
    #expect(exchange.status == nil && exchange.uncreditedCount == 0)
    exchange.end()
    #expect(exchange.status == status)
    #expect(exchange.isEnded && exchange.output.last == UInt8(ascii: "\n"))
  }

  @Test("content types of gRPC", arguments: ["application/grpc", "application/grpc+proto", "application/grpc;x=y"])
  func contentTypes(type: String) {
    let exchange = Fixture().open("/test.Echo/Unary", fields: [("content-type", type)])
    exchange.receive(frame([1]))
    exchange.end()
    #expect(exchange.grpcStatus == "0")
  }

  @Test("unknown names are UNIMPLEMENTED and say which name", arguments: [
    ("/test.Echo/Nothing", "unknown method Nothing of service test.Echo"), ("/nobody/Unary", "unknown service nobody"),
    ("", "the path names no service; /package.Service/Method is needed"),
    ("/", "the path names no service; /package.Service/Method is needed"),
  ])
  func unknown(path: String, message: String) {
    let exchange = Fixture().open(path)
    #expect(exchange.grpcStatus == "12")
    #expect(exchange.grpcMessage == message)
    #expect(exchange.fields["grpc-status-details-bin"] == "AQID")
  }

  @Test("an encoding that is not spoken is UNIMPLEMENTED and names those that are") func encoding() {
    let exchange = Fixture().open("/test.Echo/Unary", adding: [("grpc-encoding", "snappy")])
    #expect(exchange.grpcStatus == "12")
    #expect(exchange.fields["grpc-accept-encoding"] == "identity,gzip,deflate")
  }

  @Test("a malformed grpc-timeout is an error, not a call without deadline", arguments: [
    "", "5", "123456789S", "1x", "-1S",
  ])
  func malformedTimeout(value: String) {
    let exchange = Fixture().open("/test.Echo/Unary", adding: [("grpc-timeout", value)])
    #expect(exchange.grpcStatus == "3")
  }

  @Test("the deadline ends a call and cancels its method; a later answer is dropped") func deadline() {
    let fixture = Fixture()
    let exchange = fixture.open("/test.Echo/Later", adding: [("grpc-timeout", "50m")])
    exchange.receive(frame([1]))
    exchange.end()
    var isCancelled = false
    fixture.pendingCall?.whenCancelled { isCancelled = true }
    fixture.loop.advanceTime(by: .milliseconds(49))
    #expect(exchange.grpcStatus == nil)
    fixture.loop.advanceTime(by: .milliseconds(1))
    #expect(exchange.grpcStatus == "4")
    #expect(isCancelled)
    fixture.pendingCall?.respond { $0 += [1] }
    #expect(exchange.messages.isEmpty)
  }

  @Test("the deadline of a stream tells its receiver") func streamDeadline() {
    let fixture = Fixture()
    let exchange = fixture.open("/test.Echo/Stream", adding: [("grpc-timeout", "1S")])
    fixture.loop.advanceTime(by: .seconds(1))
    #expect(exchange.grpcStatus == "4")
    #expect(fixture.recorder?.isCancelled == true)
  }

  @Test("a stream's messages come one by one, then its end") func stream() {
    let fixture = Fixture()
    let exchange = fixture.open("/test.Echo/Stream")
    exchange.receive(frame([1]) + frame([2, 2]) + [0, 0])
    #expect(fixture.recorder?.messages == [[1], [2, 2]])
    exchange.receive([0, 0, 1, 3])
    exchange.end()
    #expect(fixture.recorder?.messages == [[1], [2, 2], [3]])
    #expect(fixture.recorder?.isEnded == true)
    fixture.recorder?.call.send { $0 += [9] }
    fixture.recorder?.call.finish(.ok)
    #expect(exchange.messages == [[9]])
    #expect(exchange.grpcStatus == "0")
  }

  @Test("a paused stream is not read and its window stays closed until it resumes") func pause() {
    let fixture = Fixture()
    let exchange = fixture.open("/test.Echo/Stream")
    exchange.receive(frame([1]))
    fixture.recorder?.call.pause()
    exchange.receive(frame([2]))
    #expect(fixture.recorder?.messages == [[1]])
    #expect(exchange.uncreditedCount == 6)
    fixture.recorder?.call.resume()
    #expect(fixture.recorder?.messages == [[1], [2]])
    #expect(exchange.uncreditedCount == 0)
  }

  @Test("a stream that ends within a message is told so") func truncatedStream() {
    let fixture = Fixture()
    let exchange = fixture.open("/test.Echo/Stream")
    exchange.receive(frame([1]) + [0, 0, 0, 0, 9, 1])
    exchange.end()
    #expect(exchange.grpcStatus == "13")
    #expect(exchange.grpcMessage?.contains("8 bytes before the end") == true)
  }

  @Test("a receiver hears that its call has ended by bytes that are no message",
        arguments: [[2, 0, 0, 0, 0], frame([], announcing: 1 << 31), frame([1], flag: 1), [0, 0, 0]] as [[UInt8]])
  func malformedStream(bytes: [UInt8]) {
    let fixture = Fixture()
    let exchange = fixture.open("/test.Echo/Stream")
    exchange.receive(bytes)
    exchange.end()
    #expect(exchange.isEnded && exchange.grpcStatus != "0")
    #expect(fixture.recorder?.isCancelled == true && fixture.recorder?.isEnded == false)
  }

  @Test("a client that goes cancels the receiver once, and nothing is sent to it") func cancel() {
    let fixture = Fixture()
    let exchange = fixture.open("/test.Echo/Stream")
    exchange.cancel()
    #expect(fixture.recorder?.isCancelled == true)
    fixture.recorder?.call.send { $0 += [1] }
    fixture.recorder?.call.finish(.ok)
    #expect(exchange.status == nil)
  }

  @Test("a drain reaches the streams that are open, and only those") func drain() {
    let fixture = Fixture()
    let ended = fixture.open("/test.Echo/Stream")
    let first = fixture.recorder
    ended.cancel()
    _ = fixture.open("/test.Echo/Stream")
    fixture.handler.drain()
    #expect(first?.isDraining == false)
    #expect(fixture.recorder?.isDraining == true)
  }

  @Test("an overload carries the pushback, an error its details") func pushback() {
    let fixture = Fixture()
    let exchange = fixture.call("/test.Echo/Later", body: frame([1]))
    fixture.pendingCall?.finish(.overloaded(subject: "queue", "full", retryAfter: .milliseconds(1500)))
    #expect(exchange.grpcStatus == "8")
    #expect(exchange.fields["grpc-retry-pushback-ms"] == "1500")
    #expect(exchange.fields["grpc-status-details-bin"] == "AQID")
  }
}
