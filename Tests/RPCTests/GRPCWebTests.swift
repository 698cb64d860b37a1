// gRPC-Web on an exchange in memory, as over HTTP/1.1: both forms, what ends a call, and what is malformed.
// The file is long because each promise is shown in both forms.
import HTTPCore
import NIOCore
import NIOEmbedded
import RPC
import Status
import TestSupport
import Testing

@Suite("gRPC-Web") struct GRPCWebTests {
  typealias Fixture = RPCHandlerTests.Fixture

  static let binary = "application/grpc-web+proto"
  static let text = "application/grpc-web-text"

  func open(_ path: String, _ type: String = binary, in fixture: Fixture = Fixture(),
            adding fields: [(String, String)] = []) -> MemoryExchange {
    let exchange = MemoryExchange(path: path, fields: [("content-type", type)] + fields)
    exchange.carriesTrailers = false
    exchange.delegate = fixture.handler.accept(exchange)
    return exchange
  }

  // MARK: One answer

  @Test("a unary call answers in the form and by the name that it came in", arguments: [
    ("application/grpc-web", false), ("application/grpc-web+proto", false),
    ("application/grpc-web-text", true), ("application/grpc-web-text+proto", true),
  ])
  func unary(type: String, isText: Bool) throws {
    let exchange = open("/test.Echo/Unary", type)
    exchange.receive(isText ? base64(frame([7, 8, 9])) : frame([7, 8, 9]))
    exchange.end()
    #expect(exchange.status == 200)
    #expect(exchange.fields.values(of: "content-type") == [type])
    let answer = try WebAnswer(exchange, isText: isText)
    #expect(answer.messages == [[7, 8, 9]])
    #expect(answer.trailerLines == ["grpc-status: 0"])
    #expect(exchange.trailers?.count == 0)
    #expect(exchange.grpcStatus == nil)
    #expect(exchange.uncreditedCount == 0)
  }

  @Test("parameters of the content type are no part of it") func parameters() throws {
    let exchange = open("/test.Echo/Unary", "application/grpc-web+proto;charset=utf-8")
    exchange.receive(frame([1]))
    exchange.end()
    #expect(exchange.fields["content-type"] == "application/grpc-web+proto")
    #expect(try WebAnswer(exchange)["grpc-status"] == "0")
  }

  @Test("the bytes of an answer, one by one") func bytes() {
    let binary = open("/test.Echo/Unary")
    binary.receive(frame([5]))
    binary.end()
    #expect(binary.output == [0, 0, 0, 0, 1, 5, 0x80, 0, 0, 0, 16] + Array("grpc-status: 0\r\n".utf8))
    let text = open("/test.Echo/Unary", Self.text)
    text.receive(base64(frame([5])))
    text.end()
    #expect(String(decoding: text.output, as: UTF8.self) == "AAAAAAEFgAAAABBncnBjLXN0YXR1czogMA0K")
  }

  @Test("a binary body may come byte by byte") func pieces() throws {
    let exchange = open("/test.Echo/Unary")
    for byte in frame([1, 2, 3, 4]) { exchange.receive([byte]) }
    exchange.end()
    #expect(try WebAnswer(exchange).messages == [[1, 2, 3, 4]])
  }

  // MARK: Text

  /// Every way to cut a frame of ten bytes in two or three texts, each padded alone.
  @Test("base64 in several padded texts, wherever they are cut", arguments: 0...10)
  func concatenated(first: Int) throws {
    let bytes = frame([1, 2, 3, 4, 5])
    for second in first...bytes.count {
      let body = base64(Array(bytes[..<first])) + base64(Array(bytes[first..<second]))
        + base64(Array(bytes[second...]))
      let exchange = open("/test.Echo/Unary", Self.text)
      exchange.receive(body)
      exchange.end()
      #expect(try WebAnswer(exchange, isText: true).messages == [[1, 2, 3, 4, 5]], "\(first), \(second)")
    }
  }

  @Test("base64 in pieces of any size", arguments: 1...9) func split(size: Int) throws {
    let bytes = frame([1, 2, 3, 4, 5])
    let body = base64(Array(bytes[..<4])) + base64(Array(bytes[4...]))
    let exchange = open("/test.Echo/Unary", Self.text)
    for start in stride(from: 0, to: body.count, by: size) {
      exchange.receive(Array(body[start..<min(start + size, body.count)]))
    }
    exchange.end()
    #expect(try WebAnswer(exchange, isText: true).messages == [[1, 2, 3, 4, 5]])
  }

  @Test("the last padding may be missing", arguments: 0...5) func unpadded(byteCount: Int) throws {
    let message = [UInt8](repeating: 9, count: byteCount)
    let exchange = open("/test.Echo/Unary", Self.text)
    exchange.receive(base64(frame(message)).filter { $0 != UInt8(ascii: "=") })
    exchange.end()
    #expect(try WebAnswer(exchange, isText: true).messages == [message])
  }

  @Test("all bytes in all places of a group") func everyByte() throws {
    for shift in 0..<3 {
      let message = [UInt8](repeating: 0, count: shift) + (0...255).map { UInt8($0) }
      let exchange = open("/test.Echo/Unary", Self.text)
      exchange.receive(base64(frame(message)))
      exchange.end()
      #expect(try WebAnswer(exchange, isText: true).messages == [message])
    }
  }

  @Test("what is not base64 is INTERNAL and says so", arguments: [
    "AAAAAAEF!", "AAAA\r\nAAEF", "AAAA AAEF", "====", "A===", "AA=A", "AAA=A===", "AAAAAAEFA", "AAAAAAEFAA=", "AA==",
    "AAAAAAEF=", "AAAAAA-_",
  ])
  func notBase64(body: String) throws {
    for isSplit in [false, true] {
      let exchange = open("/test.Echo/Unary", Self.text)
      if isSplit { for digit in body.utf8 { exchange.receive([digit]) } } else { exchange.receive(Array(body.utf8)) }
      exchange.end()
      let answer = try WebAnswer(exchange, isText: true)
      #expect(answer["grpc-status"] == "13", "\(body)")
      // The one that is base64 is no frame.
      let phrase = body == "AA==" ? "before the end" : "not base64"
      #expect(answer["grpc-message"]?.contains(phrase) == true, "\(body): \(answer.trailerLines)")
      #expect(exchange.isEnded)
    }
  }

  @Test("a stream that is no longer base64 cancels its method; the client may go on sending")
  func brokenStream() throws {
    let fixture = Fixture()
    let exchange = open("/test.Echo/Stream", Self.text, in: fixture)
    exchange.receive(base64(frame([1])))
    #expect(fixture.recorder?.messages == [[1]])
    exchange.receive([UInt8(ascii: "!")])
    exchange.receive(base64(frame([2])))
    exchange.end()
    #expect(fixture.recorder?.isCancelled == true)
    #expect(fixture.recorder?.messages == [[1]])
    #expect(try WebAnswer(exchange, isText: true)["grpc-status"] == "13")
  }

  // MARK: Streams

  @Test("a stream's messages leave as they are sent, trailers last", arguments: [false, true])
  func stream(isText: Bool) throws {
    let fixture = Fixture()
    let exchange = open("/test.Echo/Stream", isText ? Self.text : Self.binary, in: fixture)
    let request = frame([1]) + frame([2, 2])
    exchange.receive(isText ? base64(request) : request)
    #expect(fixture.recorder?.messages == [[1], [2, 2]])
    exchange.end()
    #expect(fixture.recorder?.isEnded == true)
    for number in UInt8(1)...3 {
      let before = exchange.output.count
      fixture.recorder?.call.send { $0 += [UInt8](repeating: number, count: Int(number)) }
      // A reader can use each at once: in text form it ends on a whole group.
      #expect(exchange.output.count > before)
      if isText { #expect(exchange.output.count % 4 == 0) }
    }
    fixture.recorder?.call.finish(.ok)
    let answer = try WebAnswer(exchange, isText: isText)
    #expect(answer.messages == [[1], [2, 2], [3, 3, 3]])
    #expect(answer.trailerLines == ["grpc-status: 0"])
  }

  @Test("a paused stream is not read and not credited until it resumes") func pause() {
    let fixture = Fixture()
    let exchange = open("/test.Echo/Stream", Self.text, in: fixture)
    exchange.receive(base64(frame([1])))
    fixture.recorder?.call.pause()
    exchange.receive(base64(frame([2])))
    #expect(fixture.recorder?.messages == [[1]])
    #expect(exchange.uncreditedCount == 8)
    fixture.recorder?.call.resume()
    #expect(fixture.recorder?.messages == [[1], [2]])
    #expect(exchange.uncreditedCount == 0)
  }

  @Test("a client that goes cancels the receiver, and nothing is sent to it") func cancel() {
    let fixture = Fixture()
    let exchange = open("/test.Echo/Stream", in: fixture)
    exchange.cancel()
    #expect(fixture.recorder?.isCancelled == true)
    fixture.recorder?.call.send { $0 += [1] }
    fixture.recorder?.call.finish(.ok)
    #expect(exchange.status == nil)
  }

  @Test("a drain reaches open streams") func drain() {
    let fixture = Fixture()
    let exchange = open("/test.Echo/Stream", in: fixture)
    exchange.delegate?.connectionIsDraining()
    #expect(fixture.recorder?.isDraining == true)
  }

  // MARK: Errors

  @Test("an error before the first message is 200 and a frame of trailers, not fields", arguments: [false, true])
  func earlyError(isText: Bool) throws {
    let exchange = open("/test.Echo/Nothing", isText ? Self.text : Self.binary)
    #expect(exchange.status == 200)
    #expect(exchange.grpcStatus == nil)
    let answer = try WebAnswer(exchange, isText: isText)
    #expect(answer.messages == [])
    #expect(answer["grpc-status"] == "12")
    #expect(answer["grpc-message"] == "unknown method Nothing of service test.Echo")
    #expect(answer["grpc-status-details-bin"] == "AQID")
    #expect(answer["content-type"] == nil)
  }

  @Test("an error after messages stands behind them") func lateError() throws {
    let fixture = Fixture()
    let exchange = open("/test.Echo/Stream", in: fixture)
    fixture.recorder?.call.send { $0 += [1] }
    fixture.recorder?.call.finish(.overloaded(subject: "queue", "full", retryAfter: .milliseconds(1500)))
    let answer = try WebAnswer(exchange)
    #expect(answer.messages == [[1]])
    #expect(answer["grpc-status"] == "8")
    #expect(answer["grpc-retry-pushback-ms"] == "1500")
  }

  @Test("malformed requests get a status that says what is wrong", arguments: [
    ([UInt8]([]), "12", "none came"),
    (frame([1]) + frame([2]), "12", "more came"),
    ([0, 0, 0], "13", "2 bytes before the end"),
    (frame([1], flag: 1), "13", "no grpc-encoding"),
    // A client has no trailers to send.
    (frame([1], flag: 0x80), "13", "byte 128 instead"),
    (frame([1], announcing: 101), "8", "101 bytes; the limit is 100"),
    (frame([1], announcing: 0xFFFF_FFFF), "8", "4294967295 bytes; the limit is 100"),
  ])
  func malformed(body: [UInt8], status: String, message: String) throws {
    for isText in [false, true] {
      let exchange = open("/test.Echo/Unary", isText ? Self.text : Self.binary,
                          in: Fixture(maximumMessageBytes: 100))
      exchange.receive(isText ? base64(body) : body)
      exchange.end()
      let answer = try WebAnswer(exchange, isText: isText)
      #expect(answer["grpc-status"] == status)
      #expect(answer["grpc-message"]?.contains(message) == true, "\(answer.trailerLines)")
    }
  }

  @Test("the deadline ends a call in a frame of trailers; a malformed one is an error") func deadline() throws {
    let fixture = Fixture()
    let exchange = open("/test.Echo/Later", in: fixture, adding: [("grpc-timeout", "50m")])
    exchange.receive(frame([1]))
    exchange.end()
    fixture.loop.advanceTime(by: .milliseconds(49))
    #expect(exchange.status == nil)
    fixture.loop.advanceTime(by: .milliseconds(1))
    #expect(try WebAnswer(exchange)["grpc-status"] == "4")
    fixture.pendingCall?.respond { $0 += [1] }
    #expect(try WebAnswer(exchange).messages == [])
    #expect(try WebAnswer(open("/test.Echo/Later", adding: [("grpc-timeout", "soon")]))["grpc-status"] == "3")
  }

  // MARK: Metadata and compression

  @Test("metadata: what the client sent is seen; ours stand in the head and in the frame") func metadata() throws {
    let fixture = Fixture()
    let exchange = open("/test.Echo/Later", in: fixture, adding: [("authorization", "Bearer t")])
    exchange.receive(frame([1]))
    exchange.end()
    let call = try #require(fixture.pendingCall)
    #expect(call.context.metadata["authorization"] == "Bearer t")
    call.addInitialMetadata(HTTPFields([("x-first", "1")]))
    // A line end of somebody else's making must not begin a trailer.
    call.addTrailingMetadata(HTTPFields([("x-last", "2\r\ngrpc-status: 0"), ("x-last", "3")]))
    call.finish(RPCStatus(.notFound, "über alles\nnothing"))
    let answer = try WebAnswer(exchange)
    #expect(exchange.fields["x-first"] == "1")
    #expect(exchange.fields["x-last"] == nil)
    #expect(answer["grpc-status"] == "5")
    #expect(answer["grpc-message"] == "%C3%BCber alles%0Anothing")
    #expect(answer.trailerLines.filter { $0.hasPrefix("x-last") } == ["x-last: 2  grpc-status: 0", "x-last: 3"])
  }

  @Test("compressed messages in both directions; the frame of trailers is never", arguments: [false, true])
  func compression(isText: Bool) throws {
    let exchange = open("/test.Echo/Unary", isText ? Self.text : Self.binary, in: Fixture(compressesMessages: true),
                        adding: [("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip")])
    let message = [UInt8](repeating: 3, count: 1000)
    let sent = frame(MessageCompression().compressed(message.span, .gzip), flag: 1)
    exchange.receive(isText ? base64(sent) : sent)
    exchange.end()
    #expect(exchange.fields["grpc-encoding"] == "gzip")
    let answer = try WebAnswer(exchange, isText: isText)
    #expect(answer.flags == [1])
    let received = try #require(answer.messages.first)
    #expect(try MessageCompression().inflated(received.span, .gzip, maximumBytes: 1000) == message)
    #expect(answer.trailerLines == ["grpc-status: 0"])
  }

  @Test("an unknown encoding is UNIMPLEMENTED; the head names those that are known") func encoding() throws {
    let exchange = open("/test.Echo/Unary", adding: [("grpc-encoding", "snappy")])
    #expect(try WebAnswer(exchange)["grpc-status"] == "12")
    #expect(exchange.fields["grpc-accept-encoding"] == "identity,gzip,deflate")
  }

  // MARK: HTTP

  @Test("over HTTP/1.1 plain gRPC is 505: its trailers would not arrive") func plain() {
    let exchange = open("/test.Echo/Unary", "application/grpc")
    exchange.end()
    #expect(exchange.status == 505)
    #expect(String(decoding: exchange.output, as: UTF8.self).contains("application/grpc-web+proto"))
    #expect(exchange.isEnded)
  }

  @Test("what is no call is refused in HTTP's words", arguments: [
    ("/test.Echo/Unary", "POST", "application/json", 415),
    ("/test.Echo/Unary", "POST", "application/grpc-web+json", 415),
    ("/test.Echo/Unary", "POST", "application/grpc-webtext", 415), ("/test.Echo/Unary", "GET", "", 405),
    ("/test.Echo/Unary", "PUT", Self.binary, 405), ("/test.Echo/Nothing", "POST", "application/json", 404),
    ("/", "GET", "", 404),
  ])
  func refused(path: String, method: String, type: String, status: Int) {
    let exchange = MemoryExchange(path: path, fields: type.isEmpty ? [] : [("content-type", type)], method: method)
    exchange.carriesTrailers = false
    exchange.delegate = Fixture().handler.accept(exchange)
    #expect(exchange.status == status)
    #expect(exchange.fields["allow"] == (status == 405 ? "POST" : nil))
    #expect(exchange.fields["accept-post"]
              == (status == 415 ? "application/grpc-web, application/grpc-web-text" : nil))
    #expect(exchange.isEnded)
  }
}
