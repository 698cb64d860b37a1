// What reflection may ask for, and the rules that hang on the methods.
import Contracts
import IngestReference
import Protobuf
import Testing

@Suite("Descriptor set") struct DescriptorSetTests {
  static let set = DescriptorSet.embedded
  static let telemetry = "esp/v1/telemetry.proto"

  @Test("the services of the server, sorted") func services() {
    #expect(Self.set.serviceNames.contains("esp.v1.TelemetryService"))
    #expect(Self.set.serviceNames.contains("grpc.health.v1.Health"))
    #expect(Self.set.serviceNames.contains("grpc.reflection.v1alpha.ServerReflection"))
    #expect(Self.set.serviceNames == Self.set.serviceNames.sorted())
  }

  @Test("a symbol of any kind leads to its file", arguments: [
    ("esp.v1.Reading", telemetry), ("esp.v1.Verdict.Outcome", telemetry), ("esp.v1.AckLevel", telemetry),
    ("esp.v1.ACK_LEVEL_DURABLE", telemetry), ("esp.v1.Verdict.OUTCOME_REJECTED", telemetry),
    ("esp.v1.TelemetryService", telemetry), ("esp.v1.TelemetryService.Ingest", telemetry),
    ("esp.v1.Reading.device_id", telemetry), ("esp.v1.IngestStreamRequest.message", telemetry),
    ("esp.v1.AggregateBucket.SignalsEntry", telemetry), ("esp.options.v1.rule", "esp/options/v1/options.proto"),
    ("google.protobuf.Timestamp", "google/protobuf/timestamp.proto"),
    ("google.protobuf.FieldDescriptorProto.Type", "google/protobuf/descriptor.proto"),
    ("grpc.health.v1.Health.Check", "grpc/health/v1/health.proto"),
  ])
  func symbols(symbol: String, file: String) {
    #expect(Self.set.file(containing: symbol) == file)
  }

  @Test("what nobody declares has no file", arguments: [
    "", "esp", "esp.v1", "esp.v1.Nothing", "Reading", ".esp.v1.Reading",
  ])
  func unknownSymbols(symbol: String) {
    #expect(Self.set.file(containing: symbol) == nil)
    #expect(Self.set.file(named: symbol) == nil)
    #expect(Self.set.dependencies(of: symbol) == [])
  }

  @Test("a file comes first, then all that it imports, each once") func dependencies() {
    let files = Self.set.dependencies(of: Self.telemetry)
    #expect(files.first == Self.telemetry)
    #expect(Set(files) == [
      Self.telemetry, "esp/options/v1/options.proto",
      "google/protobuf/descriptor.proto", "google/protobuf/duration.proto",
      "google/protobuf/field_mask.proto", "google/protobuf/timestamp.proto",
    ])
    #expect(files.count == Set(files).count)
  }

  @Test("the files put together again are the embedded set, byte for byte") func originals() throws {
    let files = Self.set.fileNames.flatMap { name in
      let bytes = Self.set.file(named: name)!
      return [0x0a] + WireFields.varint(UInt64(bytes.count)) + bytes
    }
    #expect(files == embeddedDescriptorSet())
  }

  @Test("a file keeps our options: the unit of a field") func options() throws {
    let file = try #require(Self.set.file(named: Self.telemetry))
    // (esp.options.v1.unit) = "degC": field 50812, 4 bytes.
    #expect(file.firstRange(of: [0xe2, 0xe7, 0x18, 0x04] + Array("degC".utf8)) != nil)
  }

  @Test("extensions by type and number") func extensions() {
    #expect(Self.set.extensionNumbers(of: "google.protobuf.MethodOptions") == [50811])
    #expect(Self.set.extensionNumbers(of: "google.protobuf.FieldOptions") == [50812])
    #expect(Self.set.extensionNumbers(of: "esp.v1.Reading") == [])
    #expect(Self.set.extensionNumbers(of: "esp.v1.Nothing") == nil)
    let methodOptions = "google.protobuf.MethodOptions"
    #expect(Self.set.file(containingExtension: 50811, of: methodOptions) == "esp/options/v1/options.proto")
    #expect(Self.set.file(containingExtension: 1, of: methodOptions) == nil)
  }

  @Test("the rules of the telemetry methods", arguments: [
    ("IngestReading", "POST /api/v1/telemetry", "reading", "telemetry:write", .bytes),
    ("Ingest", "POST /api/v1/telemetry/batch", "*", "telemetry:write", .bytes),
    ("IngestStream", "POST /api/v1/telemetry/stream", "*", "telemetry:write", .bytes),
    ("QueryReadings", "GET /api/v1/telemetry", "", "telemetry:read", .unspecified),
    ("ExportReadings", "GET /api/v1/telemetry/export", "", "telemetry:read", .unspecified),
  ] as [(String, String, String, String, ESPOptionsV1.Decoding)])
  func rules(method: String, route: String, body: String, permission: String, decoding: ESPOptionsV1.Decoding) throws {
    let rule = try #require(Self.set.rules["esp.v1.TelemetryService.\(method)"])
    #expect(rule.route == route && rule.body == body && rule.permission == permission)
    #expect(rule.audit == .call && rule.decoding == decoding && !rule.isPublic)
    #expect(Self.set.rule(path: "/esp.v1.TelemetryService/\(method)") == rule)
  }

  @Test("the rules of the admin methods: no role but the admin's has their permissions", arguments: [
    ("GetServerInfo", "GET /api/v1/admin/server", "", "admin:read", .call),
    ("ListStreams", "GET /api/v1/admin/streams", "", "admin:read", .call),
    ("KillStream", "POST /api/v1/admin/streams/{stream_id}/kill", "*", "admin:write", .body),
  ] as [(String, String, String, String, ESPOptionsV1.Audit)])
  func adminRules(method: String, route: String, body: String, permission: String, audit: ESPOptionsV1.Audit) throws {
    let rule = try #require(Self.set.rules["esp.v1.AdminService.\(method)"])
    #expect(rule.route == route && rule.body == body && rule.permission == permission && rule.audit == audit)
  }

  @Test("methods that are not ours have no rule", arguments: [
    "/grpc.health.v1.Health/Check", "/esp.v1.Nothing/Ingest", "esp.v1.TelemetryService.Ingest", "", "/",
  ])
  func noRule(path: String) {
    #expect(Self.set.rule(path: path) == nil)
  }
}
