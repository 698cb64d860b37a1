// grpc-interop-server: answers the official gRPC interop clients with our RPC layer.
import ArgumentParser
import Foundation
import HTTPServer
import InteropService
import Logging
import NIOCore
import NIOPosix
import RPC
import TLS
import UnixSignals

@main
struct InteropServer: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "grpc-interop-server",
    abstract: "Serves grpc.testing.TestService on the loopback interface until SIGTERM or SIGINT.")

  /// What calls may take to end after SIGTERM.
  private static let drainTimeout = Duration.seconds(1)

  @Option(help: "The port to listen on; 0 chooses a free one.") var port = 10_000
  @Option(help: "A certificate chain, PEM: serves TLS.") var tlsCert: String?
  @Option(help: "The key of the certificate, PEM.") var tlsKey: String?
  @Option(help: "Threads that serve.") var eventLoops = ProcessInfo.processInfo.activeProcessorCount

  func validate() throws {
    guard (0...65_535).contains(port) else { throw ValidationError("--port is \(port); 0 to 65535 is needed") }
    guard eventLoops >= 1 else { throw ValidationError("--event-loops is \(eventLoops); at least 1 is needed") }
    guard (tlsCert == nil) == (tlsKey == nil) else { throw ValidationError("--tls-cert and --tls-key go together") }
  }

  func run() async throws {
    // A peer that closes early must not end the process.
    signal(SIGPIPE, SIG_IGN)
    let router = RPCRouter(InteropTestService(serverID: "espd interop \(getpid())").methods)
    let group = MultiThreadedEventLoopGroup(numberOfThreads: eventLoops)
    var signals = await UnixSignalsSequence(trapping: .sigterm, .sigint).makeAsyncIterator()
    let logger = Logger(label: "grpc-interop-server")
    let listener = try listener(logger)
    let server = try await HTTPServer(listeners: [listener], group: group, logger: logger) { loop in
      // Interop clients look at code and message only.
      RPCHandler(eventLoop: loop, router: router, statusFields: StatusFields { _ in [] })
    }
    print("grpc-interop-server ready: listening on 127.0.0.1:\(server.address.port ?? 0)")
    fflush(nil)
    _ = await signals.next()
    await server.drain(deadline: Self.drainTimeout)
    try await group.shutdownGracefully()
  }

  private func listener(_ logger: Logger) throws -> HTTPListener {
    guard let tlsCert, let tlsKey else { return HTTPListener(host: "127.0.0.1", port: port) }
    let context = try TLSContext(TLSFiles(certificate: tlsCert, key: tlsKey), protocols: ["h2"])
    return HTTPListener(host: "127.0.0.1", port: port) { channel in
      try channel.pipeline.syncOperations.addHandler(TLSHandler(context, logger: logger))
    }
  }
}
