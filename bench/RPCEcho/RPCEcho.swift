// rpc-echo: our RPC layer with nothing behind it, to be measured beside other servers that decode, sum and answer.
import ArgumentParser
import Contracts
import Foundation
import HTTPServer
import Logging
import NIOCore
import NIOPosix
import RPC
import Status
import Telemetry

@main
struct RPCEcho: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rpc-echo",
    abstract: "Decodes, judges and sums ingest requests, answers them and stores nothing: for bench/rpc.py.")

  @Option(help: "The port to listen on; 0 chooses a free one.") var port = 0

  func run() async throws {
    signal(SIGPIPE, SIG_IGN)
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = EchoLoop()
    let router = RPCRouter([
      .unaryBytes("/esp.v1.TelemetryService/Ingest") { loop.ingest($0, $1) },
      .streamingBytes("/esp.v1.TelemetryService/IngestStream") { EchoStream(call: $0, loop: loop) },
    ])
    let server = try await HTTPServer(host: "127.0.0.1", port: port, group: group, logger: Logger(label: "rpc-echo")) {
      RPCHandler(eventLoop: $0, router: router, statusFields: StatusFields(encodeDetails: StatusDetails.encode))
    }
    print("rpc-echo ready: listening on 127.0.0.1:\(server.address.port ?? 0)")
    fflush(nil)
    // A signal ends it: there is nothing to lose, and callgrind does not bear libdispatch's signal sources.
    while true { pause() }
  }
}

/// What the loop decodes with: as in the server, a batch whose storage is used again.
final class EchoLoop: @unchecked Sendable {
  // @unchecked because one thread serves.
  private let decoder = IngestDecoder(rules: ReadingRules())
  private var batch = ReadingBatch()

  /// Decodes, judges and sums; the sum is looked at, so that no compiler leaves it out.
  func take(_ message: Span<UInt8>) throws(RPCStatus) -> BatchResult {
    batch.removeAll(keepingCapacity: true)
    let head = try decoder.decodeIngest(message, now: Int64(Date().timeIntervalSince1970 * 1e6), into: &batch)
    // The temperature, as the peers do.
    var sum: Float = 0
    for index in batch.readings.indices { sum += batch.readings[index].values[Signal.temperature.rawValue] }
    guard !sum.isNaN else { throw RPCStatus(.invalidArgument, "the sum is no number") }
    return head.result
  }

  func ingest(_ message: Span<UInt8>, _ call: RPCCall) {
    do throws(RPCStatus) {
      let result = try take(message)
      call.respond { IngestEncoder.encode(result, field: 1, into: &$0) }
    } catch {
      call.finish(error)
    }
  }
}

/// One stream: an answer for each batch. Every message is an `IngestRequest`, as the load of the other servers has it.
final class EchoStream: RPCMessageReceiver {
  private unowned let call: RPCCall
  private let loop: EchoLoop

  init(call: RPCCall, loop: EchoLoop) {
    self.call = call
    self.loop = loop
  }

  func received(_ message: Span<UInt8>) {
    do throws(RPCStatus) {
      let result = try loop.take(message)
      call.send { IngestEncoder.encode(result, field: 2, into: &$0) }
    } catch {
      call.finish(error)
    }
  }

  func receivedEnd() { call.finish(.ok) }
  func cancelled() {}
}
