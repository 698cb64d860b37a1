// Metadata: binary values on the wire, and what a method adds to its response.
import HTTPCore
import RPC
import Status
import TestSupport
import Testing

@Suite("Metadata") struct MetadataTests {
  typealias Fixture = RPCHandlerTests.Fixture

  @Test("base64 is read with and without padding", arguments: [
    ("", []), ("Zg==", [0x66]), ("Zg", [0x66]), ("Zm8=", [0x66, 0x6F]), ("Zm8", [0x66, 0x6F]),
    ("Zm9v", [0x66, 0x6F, 0x6F]), ("+/+/", [0xFB, 0xFF, 0xBF]), ("q6ur", [0xAB, 0xAB, 0xAB]),
  ] as [(String, [UInt8])])
  func decode(text: String, expected: [UInt8]) { #expect(Base64.decode(Array(text.utf8)) == expected) }

  @Test("what is no base64 is refused", arguments: [
    "Z", "Zg=", "Zg===", "Z===", "=", "Zm9v=", "Z g=", "Zm-_", "Zg==Zg==",
  ])
  func malformed(text: String) { #expect(Base64.decode(Array(text.utf8)) == nil) }

  @Test("any bytes come back") func roundTrip() {
    for count in 0..<70 {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ count) }
      #expect(Base64.decode(Array(Base64.encode(bytes).utf8)) == bytes)
    }
  }

  @Test("binary values: several fields, several in a field, padded or not") func binaryValues() throws {
    let fields = HTTPFields([("a-bin", "Zg,Zm8=, Zm9v"), ("b-bin", "Zg"), ("a-bin", ""), ("a-bin", "Zg==")])
    #expect(try fields.binaryValues(of: "a-bin") == ["f", "fo", "foo", "", "f"].map { Array($0.utf8) })
    #expect(try fields.binaryValues(of: "c-bin") == [])
    #expect { try HTTPFields([("a-bin", "!")]).binaryValues(of: "a-bin") } throws: {
      ($0 as? RPCStatus)?.code == .invalidArgument
    }
  }

  @Test("a method's metadata stands in head and trailers; binary values are sent unpadded") func added() throws {
    let fixture = Fixture()
    let exchange = fixture.call("/test.Echo/Later", body: frame([1]))
    let call = try #require(fixture.pendingCall)
    var trailing = HTTPFields([("t", "2")])
    trailing.append("t-bin", binary: [0x66])
    call.addInitialMetadata(HTTPFields([("i", "1"), ("i", "2")]))
    call.addTrailingMetadata(trailing)
    call.respond { $0 += [1] }
    #expect(exchange.fields.values(of: "i") == ["1", "2"])
    #expect(exchange.trailers?["t"] == "2")
    #expect(exchange.trailers?["t-bin"] == "Zg")
    #expect(exchange.grpcStatus == "0")
  }

  @Test("an error without initial metadata is trailers alone, with the trailing metadata") func trailersOnly() throws {
    let fixture = Fixture()
    let exchange = fixture.call("/test.Echo/Later", body: frame([1]))
    fixture.pendingCall?.addTrailingMetadata(HTTPFields([("t", "2")]))
    fixture.pendingCall?.finish(RPCStatus(.aborted, "no"))
    #expect(exchange.trailers == nil)
    #expect(exchange.fields["t"] == "2")
    #expect(exchange.grpcStatus == "10")
  }

  @Test("an error after initial metadata has a head and trailers") func errorWithInitial() throws {
    let fixture = Fixture()
    let exchange = fixture.call("/test.Echo/Later", body: frame([1]))
    fixture.pendingCall?.addInitialMetadata(HTTPFields([("i", "1")]))
    fixture.pendingCall?.finish(RPCStatus(.aborted, "no"))
    #expect(exchange.fields["i"] == "1")
    #expect(exchange.fields["grpc-status"] == nil)
    #expect(exchange.trailers?["grpc-status"] == "10")
  }

  @Test("metadata that comes after the client has gone is dropped") func afterTheEnd() throws {
    let fixture = Fixture()
    let exchange = fixture.call("/test.Echo/Later", body: frame([1]))
    let call = try #require(fixture.pendingCall)
    exchange.cancel()
    call.addInitialMetadata(HTTPFields([("i", "1")]))
    call.compressMessages()
    call.respond { $0 += [1] }
    #expect(exchange.status == nil)
  }
}
