// swift-tools-version: 6.2
import PackageDescription

// Every Swift target: the strictest checks that the compiler has, so that a C type in a public signature does not
// compile and each unsafe use says so (CONTRIBUTING.md, "Fences").
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("ExistentialAny"),
  // Measured (bench/README.md): a fifth of a small call. Debug builds, which the sanitizers run, check exclusivity.
  .unsafeFlags(["-enforce-exclusivity=unchecked", "-cross-module-optimization"], .when(configuration: .release)),
]

func module(_ name: String, _ dependencies: [Target.Dependency] = [], path: String? = nil,
            resources: [Resource]? = nil) -> Target {
  .target(name: name, dependencies: dependencies, path: path, resources: resources, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

func library(_ name: String, apt: String) -> Target {
  .systemLibrary(name: name, providers: [.apt([apt])])
}

let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let configuration: Target.Dependency = .product(name: "Configuration", package: "swift-configuration")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let histogram: Target.Dependency = .product(name: "Histogram", package: "hdrhistogram-swift")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let systemPackage: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let unixSignals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")

let package = Package(
  name: "alkhorayef-esp",
  products: [
    .executable(name: "espd", targets: ["espd"]),
    .executable(name: "espctl", targets: ["espctl"]),
    .executable(name: "grpc-interop-server", targets: ["InteropServer"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.1.0"),
    .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-system", from: "1.6.0"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: [
    // 0: C libraries, each imported by one module only.
    library("CNghttp2", apt: "libnghttp2-dev"),
    library("CProtobufC", apt: "libprotobuf-c-dev"),
    library("CLibpq", apt: "libpq-dev"),
    library("CZlib", apt: "zlib1g-dev"),
    library("COpenSSL", apt: "libssl-dev"),
    .target(name: "CMessageTypes", dependencies: ["CProtobufC"]),
    .target(name: "CContracts", dependencies: ["CMessageTypes", "CProtobufC"]),

    // 1: values and pure functions.
    module("Status"),
    module("HTTPCore"),
    module("Telemetry"),

    // 2: one protocol or one C library each.
    module("HTTP1", ["HTTPCore", nioCore, nioHTTP1, logging]),
    module("HTTP2", ["CNghttp2", "HTTPCore", nioCore, logging]),
    module("TLS", ["COpenSSL", "HTTPCore", nioCore, logging]),
    module("RPC", ["CZlib", "HTTPCore", "Status", nioCore]),
    module("Protobuf", ["CMessageTypes", "CProtobufC", "Status"]),
    module("Journal", ["Status", logging]),
    module("PostgresStore", ["CLibpq", "Status", "Telemetry", logging], resources: [.embedInCode("Migrations")]),

    // 3: listening, methods on decoded messages, and the way of a batch.
    module("HTTPServer", ["HTTP1", "HTTP2", "HTTPCore", nioCore, nioPosix, logging]),
    module("RPCMessages", ["Protobuf", "RPC", "Status"]),
    module("Live", ["PostgresStore", "Status", "Telemetry", logging]),
    module("Pipeline", ["HTTPCore", "Journal", "PostgresStore", "Status", "Telemetry", deque, logging]),

    // 4: the contract as Swift.
    module("Contracts", ["CContracts", "HTTPCore", "Protobuf", "RPC", "RPCMessages", "Status", "Telemetry"]),

    // 5: what each RPC does.
    module("Services", [
      "Contracts", "HTTPCore", "Journal", "Live", "Pipeline", "PostgresStore", "Protobuf", "RPC", "RPCMessages",
      "Status", "Telemetry", histogram, nioCore,
    ]),

    // 6: wiring.
    .executableTarget(
      name: "espd",
      dependencies: [
        "Contracts", "HTTP2", "HTTPCore", "HTTPServer", "Journal", "Live", "Pipeline", "PostgresStore", "RPC",
        "Services", "TLS", "Telemetry",
        arguments, configuration, logging, nioCore, nioPosix, systemPackage, unixSignals,
      ],
      swiftSettings: strict),

    .executableTarget(name: "espctl", dependencies: ["Journal", arguments], swiftSettings: strict),

    // The gRPC interop tests' server: our RPC layer without telemetry.
    .target(name: "CInterop", dependencies: ["CMessageTypes", "CProtobufC"], path: "interop/Sources/CInterop"),
    module("InteropService", ["CInterop", "HTTPCore", "Protobuf", "RPC", "RPCMessages", "Status"],
           path: "interop/Sources/InteropService"),
    .executableTarget(
      name: "InteropServer",
      dependencies: [
        "HTTPCore", "HTTPServer", "InteropService", "RPC", "TLS", arguments, logging, nioCore, nioPosix, unixSignals,
      ],
      path: "interop/Sources/InteropServer", swiftSettings: strict),

    // Our RPC layer with nothing behind it, for bench/rpc.py.
    .executableTarget(
      name: "RPCEcho",
      dependencies: [
        "Contracts", "HTTPServer", "RPC", "Status", "Telemetry", arguments, logging, nioCore, nioPosix,
      ],
      path: "bench/RPCEcho", swiftSettings: strict),
    // What an append to the journal costs: bench/README.md.
    .executableTarget(
      name: "JournalBench", dependencies: ["Journal", arguments, logging], path: "bench/JournalBench",
      swiftSettings: strict),

    tests("TelemetryTests", ["Telemetry"]),
    // Doubles of the ports that tests replace.
    .target(
      name: "TestSupport",
      dependencies: ["HTTPCore", "Journal", "Live", "Pipeline", "PostgresStore", "RPC", "Status", "Telemetry", logging],
      path: "Tests/TestSupport", swiftSettings: strict),
    // The rules that no compiler checks, for the whole tree.
    tests("TidyTests", []),
    tests("HTTPCoreTests", ["HTTPCore"]),
    tests("HTTP1Tests", ["HTTP1", "HTTPCore", "HTTPServer", logging, nioCore, nioPosix]),
    tests("HTTP2Tests", ["HTTP2", "HTTPCore", "HTTPServer", logging, nioCore, nioPosix]),
    tests("TLSTests", ["TLS", "COpenSSL", "HTTPCore", "HTTPServer", logging, nioCore, nioPosix]),
    tests("RPCTests", ["RPC", "HTTPCore", "Status", "TestSupport", nioCore, nioEmbedded, nioPosix]),
    tests("JournalTests", ["Journal", "Status", logging]),
    // The program that a test kills.
    .executableTarget(
      name: "JournalWriter", dependencies: ["Journal", logging], path: "Tests/JournalWriter", swiftSettings: strict),
    tests("PipelineTests", [
      "HTTPCore", "Journal", "Pipeline", "PostgresStore", "Status", "Telemetry", "TestSupport", logging,
    ]),
    tests("LiveTests", ["Live", "PostgresStore", "Status", "Telemetry", "TestSupport", logging]),
    tests("ServicesTests", [
      "Contracts", "Journal", "Live", "Pipeline", "PostgresStore", "Protobuf", "RPC", "Services", "Telemetry",
      "TestSupport", logging, nioCore, nioPosix,
    ]),
    tests("ProtobufTests", ["Protobuf", "Contracts"]),
    tests("PostgresStoreTests", ["PostgresStore", "Status", "Telemetry", logging]),
    // What a batch must become, worked out slowly: for differential tests and fuzz targets.
    .target(
      name: "IngestReference", dependencies: ["Contracts", "Protobuf", "Status", "Telemetry"],
      path: "Tests/IngestReference", swiftSettings: strict),
    tests("ContractsTests", ["Contracts", "IngestReference", "Protobuf", "Status", "Telemetry"]),
    .target(
      name: "FuzzTargets",
      dependencies: [
        "Contracts", "HTTP2", "HTTPCore", "IngestReference", "Protobuf", "RPC", "RPCMessages", "Status", "TestSupport",
        logging, nioCore, nioEmbedded,
      ],
      path: "Fuzz/Targets", swiftSettings: strict),
    tests("FuzzTests", ["FuzzTargets"]),
  ]
)

// The fuzzer has libFuzzer's main and links with -sanitize=fuzzer only: `make fuzz` asks for it.
if Context.environment["ESP_FUZZ"] != nil {
  package.targets.append(
    .executableTarget(name: "espfuzz", dependencies: ["FuzzTargets"], path: "Fuzz/Driver", swiftSettings: strict))
}
