// Finds the method of a path by its bytes.
internal import HTTPCore
package import Status

/// All methods of the server. Immutable; shared by all loops.
package struct RPCRouter: Sendable {
  private struct Route: Sendable {
    let path: [UInt8]
    let method: RPCMethod
  }

  /// Open addressing, a power of two and at most half full, so that a look-up is one hash and about one comparison: no
  /// String and no Dictionary on the way of a request (1,905 instructions in PITFALLS.md 1).
  private var slots: [Route?]
  private let services: Set<String>

  package init(_ methods: [RPCMethod]) {
    var capacity = 16
    while capacity < methods.count * 2 { capacity *= 2 }
    slots = Array(repeating: nil, count: capacity)
    services = Set(methods.map { Self.parts(of: $0.path).service })
    for method in methods { insert(Route(path: Array(method.path.utf8), method: method)) }
  }

  /// The method of a path, or UNIMPLEMENTED that says whether the service or only the method is unknown.
  package func method(for path: Span<UInt8>) throws(RPCStatus) -> RPCMethod {
    var slot = hash(path)
    while let route = slots[slot] {
      if route.path.span.equals(path) { return route.method }
      slot = (slot + 1) & (slots.count - 1)
    }
    let (service, name) = Self.parts(of: path.text)
    if service.isEmpty {
      throw RPCStatus(.unimplemented, "the path names no service; /package.Service/Method is needed")
    }
    throw RPCStatus(.unimplemented, services.contains(service) ? "unknown method \(name) of service \(service)"
      : "unknown service \(service)")
  }

  private mutating func insert(_ route: Route) {
    var slot = hash(route.path.span)
    while let taken = slots[slot] {
      precondition(taken.path != route.path, "two methods have the path \(route.method.path)")
      slot = (slot + 1) & (slots.count - 1)
    }
    slots[slot] = route
  }

  /// FNV-1a over the bytes.
  private func hash(_ path: Span<UInt8>) -> Int {
    var hash: UInt32 = 2_166_136_261
    for index in path.indices { hash = (hash ^ UInt32(path[index])) &* 16_777_619 }
    return Int(hash) & (slots.count - 1)
  }

  private static func parts(of path: String) -> (service: String, method: String) {
    let parts = path.split(separator: "/", maxSplits: 1)
    return (parts.first.map(String.init) ?? "", parts.count > 1 ? String(parts[1]) : "")
  }
}
