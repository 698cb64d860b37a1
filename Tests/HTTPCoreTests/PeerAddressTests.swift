// How peers are named, each kind of address that a socket can have.
import HTTPCore
import Testing

@Suite("Peer address") struct PeerAddressTests {
  @Test("host and port as in URLs; what is missing is unknown", arguments: [
    ("127.0.0.1", 50_123, "127.0.0.1:50123"), ("::1", 1, "[::1]:1"), ("fe80::1%eth0", 65_535, "[fe80::1%eth0]:65535"),
    ("::ffff:10.0.0.1", 80, "[::ffff:10.0.0.1]:80"), (nil, 80, "unknown"), ("10.0.0.1", nil, "unknown"),
    (nil, nil, "unknown"),
  ] as [(String?, Int?, String)])
  func text(host: String?, port: Int?, expected: String) {
    #expect(PeerAddress.text(host: host, port: port) == expected)
  }
}
