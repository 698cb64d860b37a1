// The corpus of every fuzz target, replayed without a fuzzer: crashes that were found once are tests for ever.
import Foundation
import FuzzTargets
import Testing

@Suite("Fuzz corpus") struct CorpusTests {
  /// A file of Fuzz/corpus.
  struct Input: Sendable, CustomTestStringConvertible {
    let target: FuzzTarget
    let file: URL

    var testDescription: String { "\(target.name)/\(file.lastPathComponent)" }
  }

  static let corpus = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Fuzz/corpus")

  static let inputs: [Input] = FuzzTarget.all.flatMap { target in
    // A target without a folder has no inputs, and `seeds` says so.
    let folder = corpus.appending(path: target.name)
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return names.sorted().map { Input(target: target, file: folder.appending(path: $0)) }
  }

  @Test("every input of the corpus keeps the promises of its target", arguments: inputs)
  func replay(input: Input) throws {
    try input.target.run([UInt8](Data(contentsOf: input.file)))
  }

  /// ESP_WRITE_SEEDS=1 makes the files anew; else each must be what the target says.
  @Test("the corpus has each target's seeds", arguments: FuzzTarget.all)
  func seeds(target: FuzzTarget) throws {
    let folder = Self.corpus.appending(path: target.name)
    if ProcessInfo.processInfo.environment["ESP_WRITE_SEEDS"] != nil { try write(target.seeds, folder) }
    #expect(!target.seeds.isEmpty)
    for (name, bytes) in target.seeds {
      let file = try? Data(contentsOf: folder.appending(path: "seed-\(name)"))
      #expect(file == Data(bytes), "seed-\(name) is missing or old: ESP_WRITE_SEEDS=1 makes it anew")
    }
    let files = Self.inputs.filter { $0.target.name == target.name }.map(\.file.lastPathComponent)
    let idle = files.filter { $0.hasPrefix("seed-") && target.seeds[String($0.dropFirst(5))] == nil }
    #expect(idle.isEmpty, "seeds that no target names")
  }

  @Test("no folder of the corpus is without a target") func folders() throws {
    let folders = try FileManager.default.contentsOfDirectory(atPath: Self.corpus.path)
    #expect(Set(folders).subtracting(FuzzTarget.all.map(\.name)).isEmpty)
    #expect(Set(FuzzTarget.all.map(\.name)).count == FuzzTarget.all.count)
  }

  @Test("a broken promise is reported, not overlooked") func planted() {
    let target = FuzzTarget("planted", seeds: [:]) { bytes throws(FuzzFinding) in
      try FuzzFinding.require(bytes.first != 7, "the first byte is 7")
    }
    #expect(throws: Never.self) { try target.run([6]) }
    #expect(throws: FuzzFinding.self) { try target.run([7]) }
  }

  private func write(_ seeds: [String: [UInt8]], _ folder: URL) throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    for (name, bytes) in seeds { try Data(bytes).write(to: folder.appending(path: "seed-\(name)")) }
  }
}
