// What a fuzz target is, and the list of all of them.

/// Code of ours that takes bytes from strangers, and what must hold for any bytes.
package struct FuzzTarget: Sendable, CustomStringConvertible {
  /// Also the name of its folder in Fuzz/corpus.
  package let name: String
  /// Inputs that reach far into the code, by name; Fuzz/corpus has them as `seed-NAME`.
  package let seeds: [String: [UInt8]]
  /// Takes any bytes, and throws when what it did with them breaks a promise. Crashes and leaks are the sanitizer's.
  package let run: @Sendable ([UInt8]) throws(FuzzFinding) -> Void

  package init(_ name: String, seeds: [String: [UInt8]],
               run: @escaping @Sendable ([UInt8]) throws(FuzzFinding) -> Void) {
    self.name = name
    self.seeds = seeds
    self.run = run
  }

  package var description: String { name }

  /// Every target; `make fuzz` runs them all and `FuzzTests` replays the corpus of each.
  package static let all: [FuzzTarget] = [
    .compression, .grpcTimeout, .http2Bytes, .http2Frames, .ingest, .ingestReading, .ingestStream, .messages,
    .metadata, .protobuf,
  ]
}

/// A promise that some bytes break.
package struct FuzzFinding: Error, CustomStringConvertible {
  package let description: String

  init(_ description: String) { self.description = description }

  /// Throws `finding` unless the promise holds.
  package static func require(_ holds: Bool, _ finding: @autoclosure () -> String) throws(FuzzFinding) {
    if !holds { throw FuzzFinding(finding()) }
  }
}
