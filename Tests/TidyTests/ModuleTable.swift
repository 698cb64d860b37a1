// Who may import whom. Add a module here and in ARCHITECTURE.md's table when you make one.

/// One target below Sources/ (or bench/, or interop/Sources/) and all that its files may import.
struct Module: Sendable {
  /// The line of ARCHITECTURE.md 2: arrows point to lower lines.
  var line: Int
  /// Modules of ours, C libraries included.
  var modules: Set<String> = []
  /// Products of other packages, and modules of the toolchain.
  var others: Set<String> = []

  var imports: Set<String> { modules.union(others) }
}

/// The table, and what follows from it.
struct ModuleTable: Sendable {
  var modules: [String: Module]
  /// C library -> the one Swift module that imports it.
  var fences: [String: String]

  /// Modules that come with the compiler: Package.swift does not declare them.
  static let toolchain: Set<String> = [
    "Dispatch", "Foundation", "FoundationEssentials", "Glibc", "Swift", "Synchronization", "Testing",
  ]

  /// Values and pure functions: no I/O, no C, no Foundation, so that their tests take milliseconds.
  static let core: Set<String> = ["Status", "HTTPCore", "Telemetry", "Diagnostics"]
}

extension ModuleTable {
  static let project = ModuleTable(
    modules: [
      "CNghttp2": Module(line: 0), "CProtobufC": Module(line: 0), "CLibpq": Module(line: 0),
      "COpenSSL": Module(line: 0), "CHiredis": Module(line: 0), "CArgon2": Module(line: 0), "CZlib": Module(line: 0),
      "CMessageTypes": Module(line: 0), "CContracts": Module(line: 0), "CInterop": Module(line: 0),

      "Status": Module(line: 1),
      "HTTPCore": Module(line: 1, modules: ["Status"], others: ["Synchronization"]),
      "Telemetry": Module(line: 1, modules: ["Status"]),
      "Diagnostics": Module(line: 1, modules: ["Status", "Telemetry"]),

      "HTTP2": Module(line: 2, modules: ["CNghttp2", "HTTPCore", "Status"], others: nio.union(loops)),
      "HTTP1": Module(line: 2, modules: ["HTTPCore", "Status"], others: nio.union(loops).union(["NIOHTTP1"])),
      "TLS": Module(line: 2, modules: ["COpenSSL", "HTTPCore"], others: nio.union(loops)),
      "RPC": Module(line: 2, modules: ["CZlib", "HTTPCore", "Status"], others: nio.union(loops)),
      "Protobuf": Module(line: 2, modules: ["CMessageTypes", "CProtobufC", "Status"], others: ["Synchronization"]),
      "PostgresStore": Module(line: 2, modules: ["CLibpq", "Status", "Telemetry"], others: blocking),
      "Journal": Module(line: 2, modules: ["Status", "Telemetry"], others: blocking),
      "Cache": Module(line: 2, modules: ["CHiredis", "Status"], others: blocking),

      "HTTPServer": Module(line: 3, modules: ["HTTP1", "HTTP2", "HTTPCore"], others: nio.union(loops)),
      "RPCMessages": Module(line: 3, modules: ["HTTPCore", "Protobuf", "RPC", "Status"]),
      "Security": Module(
        line: 3, modules: ["CArgon2", "Cache", "HTTPCore", "Journal", "PostgresStore", "RPC", "Status"],
        others: ["Foundation", "JWTKit", "Logging", "Synchronization"]),
      "Live": Module(
        line: 3, modules: ["PostgresStore", "Status", "Telemetry"],
        others: ["Foundation", "Logging", "Synchronization"]),
      "Pipeline": Module(
        line: 3, modules: ["Diagnostics", "HTTPCore", "Journal", "PostgresStore", "Status", "Telemetry"],
        others: ["DequeModule", "Dispatch", "Foundation", "Logging", "ServiceLifecycle", "Synchronization"]),

      "Contracts": Module(
        line: 4,
        modules: [
          "CContracts", "Diagnostics", "HTTPCore", "Protobuf", "RPC", "RPCMessages", "Status", "Telemetry",
        ],
        others: ["Foundation", "Synchronization"]),
      "InteropService": Module(
        line: 4, modules: ["CInterop", "HTTPCore", "Protobuf", "RPC", "RPCMessages", "Status"]),

      "Services": Module(
        line: 5,
        modules: [
          "Cache", "Contracts", "Diagnostics", "HTTPCore", "Journal", "Live", "Pipeline", "PostgresStore", "Protobuf",
          "RPC", "RPCMessages", "Security", "Status", "Telemetry",
        ],
        others: ["Foundation", "Histogram", "Logging", "NIOCore", "Synchronization"]),
      "Gateway": Module(
        line: 5, modules: ["Contracts", "HTTPCore", "Protobuf", "RPC", "Security", "Status", "Telemetry"],
        others: ["Foundation", "Logging", "Synchronization"]),

      "espd": Module(line: 6, modules: wired, others: nio.union(blocking).union(programs)),
      "espctl": Module(line: 6, modules: wired, others: nio.union(blocking).union(programs)),
      "espbench": Module(line: 6, modules: wired, others: nio.union(blocking).union(programs).union(["Histogram"])),
      "JournalBench": Module(line: 6, modules: ["Journal"], others: blocking.union(programs)),
      "RPCEcho": Module(
        line: 6, modules: ["Contracts", "HTTPServer", "RPC", "Status", "Telemetry"],
        others: nio.union(loops).union(programs).union(["Foundation"])),
      "InteropServer": Module(
        line: 6, modules: ["HTTPCore", "HTTPServer", "InteropService", "RPC", "Status", "TLS"],
        others: nio.union(loops).union(programs).union(["Foundation"])),
    ],
    fences: [
      "CNghttp2": "HTTP2", "CProtobufC": "Protobuf", "CMessageTypes": "Protobuf", "CContracts": "Contracts",
      "CInterop": "InteropService", "CLibpq": "PostgresStore",
      "COpenSSL": "TLS", "CHiredis": "Cache", "CArgon2": "Security", "CZlib": "RPC",
    ])

  private static let nio: Set<String> = ["NIOCore", "NIOPosix", "NIOConcurrencyHelpers"]
  /// What code on an event loop may need besides NIO.
  private static let loops: Set<String> = ["Glibc", "Logging", "Synchronization"]
  /// What code on a thread of its own may need: it blocks, and reads files or starts processes.
  private static let blocking: Set<String> = ["Dispatch", "Foundation", "Glibc", "Logging", "Synchronization"]
  private static let programs: Set<String> = ["ArgumentParser", "Configuration", "SystemPackage", "UnixSignals"]
  /// Programs wire everything and own nothing.
  private static let wired: Set<String> = [
    "Cache", "Contracts", "Diagnostics", "Gateway", "HTTP1", "HTTP2", "HTTPCore", "HTTPServer", "Journal",
    "Live", "Pipeline", "PostgresStore", "Protobuf", "RPC", "RPCMessages", "Security", "Services", "Status", "TLS",
    "Telemetry",
  ]
}
