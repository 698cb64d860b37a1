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

let package = Package(
  name: "alkhorayef-esp",
  products: [],
  dependencies: [],
  targets: [
    // 0: C libraries, each imported by one module only.
    library("CNghttp2", apt: "libnghttp2-dev"),
    library("CProtobufC", apt: "libprotobuf-c-dev"),
    library("CLibpq", apt: "libpq-dev"),

    // 1: values and pure functions.
    module("Status"),
    module("HTTPCore"),
    module("Telemetry"),

    tests("TelemetryTests", ["Telemetry"]),
    // The rules that no compiler checks, for the whole tree.
    tests("TidyTests", []),
  ]
)
