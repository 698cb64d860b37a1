// The body of a gRPC call, cut anywhere: frames, flags, compressed messages, of calls of every kind.
import HTTPCore
import NIOEmbedded
import RPC
import TestSupport

extension FuzzTarget {
  /// Chooses method and encoding, then pieces of the body, each with its length before it.
  static let messages = FuzzTarget("messages", seeds: [
    "unary": [0, 0, 8] + frame([1, 2, 3]),
    "compressed": [0, 1, 5] + frame(Array(repeating: 1, count: 30), flag: 1),
    "pieces": [2, 0, 1, 0, 2, 0, 0, 4, 0, 3, 9, 9, 3, 9, 0, 0],
    "typed": [3, 0, 7] + frame([0x10, 1]),
    "stream": [4, 0, 14] + frame([0x12, 0]) + frame([0x12, 0]),
    "pausing": [2, 0, 18] + frame([1]) + frame([1, 1]) + frame([2]),
    "huge": [2, 0, 5] + frame([], announcing: 1 << 31),
  ]) { bytes throws(FuzzFinding) in
    var input = FuzzInput(bytes)
    let loop = EmbeddedEventLoop()
    let handler = RPCHandler(eventLoop: loop, router: EchoMethods.router, statusFields: EchoMethods.statusFields,
                             compressesMessages: false)
    let path = input.pick(EchoMethods.paths)
    let encoding = input.pick(["identity", "gzip", "deflate", "br"])
    let exchange = MemoryExchange(path: path, fields: [
      ("content-type", "application/grpc"), ("grpc-encoding", encoding), ("grpc-accept-encoding", "gzip"),
    ])
    exchange.delegate = handler.accept(exchange)
    while !input.isAtEnd, !exchange.isEnded {
      exchange.receive(input.block())
      loop.run()
    }
    exchange.end()
    loop.run()
    if !exchange.isEnded { exchange.cancel() }
    loop.run()
    if let status = exchange.grpcStatus {
      try FuzzFinding.require(Int(status).map { (0...16).contains($0) } == true, "grpc-status is \(status)")
    }
    try FuzzFinding.require(exchange.isEnded || path != EchoMethods.paths[0], "a unary call has no answer")
  }
}
