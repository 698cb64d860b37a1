// The committed generated code is what proto/ generates today, and the generator refuses what breaks our rules.
import Foundation
import Testing

@Suite("Generated code", .enabled(if: Generator.isInstalled, "needs protoc, protoc-c and a Python with protobuf"))
struct GeneratedCodeTests {
  @Test("it is up to date") func upToDate() throws {
    let run = try Generator(root: Generator.projectRoot).check()
    #expect(run.status == 0, "\(run.output)")
  }

  @Test("drift is found, and the file is named") func drift() throws {
    try withCopyOfProtos { root in
      let run = try Generator(root: root).check()
      #expect(run.status == 1)
      #expect(run.output.contains("message_types.c") && run.output.contains("run proto/generate.sh"), "\(run.output)")
    }
  }

  @Test("what breaks our rules is refused with its name and the reason", arguments: [
    (#"option \(esp\.options\.v1\.rule\) = \{[^}]*\};"#, "",
     "esp.v1.TelemetryService.IngestReading has no option (esp.options.v1.rule)"),
    (#"permission: "[^"]*""#, #"permission: """#,
     "esp.v1.TelemetryService.IngestReading: the rule has no permission"),
    (#"message Gap \{"#, "message Gap { Gap gap = 2;", "recursive message (esp.v1.Gap -> esp.v1.Gap)"),
    (#"message Gap \{"#, "message Gap { map<bool, string> names = 2;", "esp.v1.Gap.names: a map with Bool keys"),
  ])
  func refused(pattern: String, replacement: String, message: String) throws {
    try withCopyOfProtos { root in
      let file = root.appending(path: "proto/esp/v1/telemetry.proto")
      var proto = try String(contentsOf: file, encoding: .utf8)
      let range = try #require(proto.range(of: pattern, options: .regularExpression))
      proto.replaceSubrange(range, with: replacement)
      try proto.write(to: file, atomically: true, encoding: .utf8)
      let run = try Generator(root: root).check()
      #expect(run.status == 1 && run.output.contains(message), "\(run.output)")
    }
  }

  /// A project of the protos alone, in a folder with a space in its name.
  private func withCopyOfProtos(_ body: (URL) throws -> Void) throws {
    let root = FileManager.default.temporaryDirectory.appending(path: "esp protos \(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: root) }  // A folder left behind in a failed test harms nobody.
    try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
    try FileManager.default.createDirectory(at: root.appending(path: "interop"), withIntermediateDirectories: true)
    for folder in ["proto", "interop/proto"] {
      let original = Generator.projectRoot.appending(path: folder)
      try FileManager.default.copyItem(at: original, to: root.appending(path: folder))
    }
    try body(root)
  }
}

/// Runs proto/generate.sh.
struct Generator {
  let root: URL

  static let projectRoot = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  static let python: String = {
    let own = projectRoot.appending(path: ".build-python/bin/python").path
    return FileManager.default.isExecutableFile(atPath: own) ? own : "python3"
  }()

  /// Whether all that the script needs is there.
  static let isInstalled: Bool = ["protoc --version", "protoc-c --version", "'\(python)' -c 'import google.protobuf'"]
    .allSatisfy { (try? run("/bin/bash", ["-c", $0]))?.status == 0 }

  func check() throws -> (status: Int32, output: String) {
    try Self.run("/bin/bash", [root.appending(path: "proto/generate.sh").path, "--check"])
  }

  private static func run(_ program: String, _ arguments: [String]) throws -> (status: Int32, output: String) {
    let process = Process()
    process.executableURL = URL(filePath: program)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(["PYTHON": python]) { $1 }
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, output)
  }
}
