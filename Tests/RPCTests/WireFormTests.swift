// The small pure parts of the gRPC wire form.
import HTTPCore
import RPC
import Status
import Testing

@Suite("gRPC wire forms") struct WireFormTests {
  @Test("grpc-timeout", arguments: [
    ("1H", Duration.seconds(3600)), ("2M", .seconds(120)), ("3S", .seconds(3)), ("4m", .milliseconds(4)),
    ("5u", .microseconds(5)), ("6n", .nanoseconds(6)), ("99999999H", .seconds(99_999_999 * 3600)), ("0S", .zero),
  ])
  func timeout(text: String, expected: Duration) {
    let bytes = Array(text.utf8)
    let parsed = GRPCTimeout.parse(bytes.span)
    #expect(parsed == expected)
  }

  @Test("a status message is percent-encoded", arguments: [
    ("plain text", "plain text"), ("50 %", "50 %25"), ("\t\r\n", "%09%0D%0A"), ("é☺", "%C3%A9%E2%98%BA"),
    ("~ ", "~%20"), (" a b ", "%20a b%20"), (" ", "%20"), ("\u{7F}", "%7F"),
  ])
  func percent(text: String, expected: String) { #expect(StatusFields.percentEncoded(text) == expected) }

  @Test("base64 without padding (RFC 4648, 10)", arguments: [
    ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"),
    ("foobar", "Zm9vYmFy"),
  ])
  func base64(text: String, expected: String) { #expect(Base64.encode(Array(text.utf8)) == expected) }

  @Test("codes have the specification's names") func names() {
    #expect(RPCStatus.Code.invalidArgument.name == "INVALID_ARGUMENT")
    #expect(RPCStatus.Code.ok.name == "OK")
    #expect(RPCStatus.Code.unauthenticated.name == "UNAUTHENTICATED")
  }

  @Test("every path finds its own method among many") func router() throws {
    let paths = (0..<500).map { "/service\($0 % 7).S/Method\($0)" }
    let router = RPCRouter(paths.map { RPCMethod.unaryBytes($0) { _, _ in } })
    for path in paths {
      let bytes = Array(path.utf8)
      let method = try router.method(for: bytes.span)
      #expect(method.path == path)
    }
  }

  @Test("a body that is taken piecemeal keeps what was not taken") func body() {
    var body = HTTPBody()
    var expected: [UInt8] = []
    for round in 0..<2000 {
      let piece = (0..<100).map { UInt8(truncatingIfNeeded: round &+ $0) }
      body.append(piece.span)
      expected += piece
      let taken = min(expected.count, round % 190)
      body.removeFirst(taken)
      expected.removeFirst(taken)
    }
    let rest = body.withBytes { Array(copying: $0) }
    #expect(rest == expected)
  }
}
