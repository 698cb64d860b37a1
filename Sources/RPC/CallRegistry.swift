// The streaming calls of all event loops: to list them, to end one, to tell them of a drain.
internal import NIOCore
package import Status
internal import Synchronization

/// Messages of one direction of a call, and their bytes.
package struct MessageCount: Sendable, Equatable {
  package private(set) var messages = 0
  package private(set) var bytes = 0

  mutating func add(_ byteCount: Int) {
    messages += 1
    bytes += byteCount
  }
}

/// The streaming calls of a server. Any thread; each loop is asked on its own turn and none waits for another.
package final class CallRegistry: Sendable {
  private let tables = Mutex<[CallTable]>([])

  package init() {}

  func makeTable(_ loop: any EventLoop) -> CallTable {
    let table = CallTable(loop: loop)
    tables.withLock { $0.append(table) }
    return table
  }

  /// The loops are about to end, and their calls with them: from here on there are none. A loop that has ended drops
  /// what it is given, and who asked it would wait for ever.
  package func close() { tables.withLock { $0 = [] } }

  /// Describes the calls with the lowest ids above `id`, at most `limit` of them, ascending. Each loop's part is of one
  /// moment.
  package func calls<Entry: Sendable>(
    after id: UInt64, limit: Int, _ describe: @escaping @Sendable (RPCCall) -> Entry
  ) async -> [Entry] {
    var found: [(id: UInt64, entry: Entry)] = []
    for table in tables.withLock({ $0 }) {
      found += await table.onLoop(none: []) { $0.calls(after: id, limit: limit, describe) }
    }
    return found.sorted { $0.id < $1.id }.prefix(limit).map(\.entry)
  }

  /// Calls that are open now.
  package func count() async -> Int {
    var count = 0
    for table in tables.withLock({ $0 }) { count += await table.onLoop(none: 0) { $0.count } }
    return count
  }

  /// Ends a call with a status.
  /// - Returns: false when there is no such call, or no more.
  package func abort(_ id: UInt64, _ status: RPCStatus) async -> Bool {
    for table in tables.withLock({ $0 }) where await table.onLoop(none: false, { $0.abort(id, status) }) {
      return true
    }
    return false
  }
}

/// The streaming calls of one event loop. Confined to it, but for `onLoop`.
final class CallTable: @unchecked Sendable {
  // @unchecked because `onLoop` carries a table to its loop, where alone `open` is touched.
  private static let lastID = Atomic<UInt64>(0)

  private let loop: any EventLoop
  private var open: [UInt64: RPCCall] = [:]

  init(loop: any EventLoop) { self.loop = loop }

  /// Does something on the loop, which must run (`CallRegistry.close`); gives `none` when it could not be done.
  func onLoop<Value: Sendable>(none: Value, _ body: @escaping @Sendable (CallTable) -> Value) async -> Value {
    (try? await loop.submit { body(self) }.get()) ?? none
  }

  var count: Int { open.count }

  /// Returns the call's id: 1 and up, in the order of the whole process.
  func add(_ call: RPCCall) -> UInt64 {
    let id = Self.lastID.add(1, ordering: .relaxed).newValue
    open[id] = call
    return id
  }

  func remove(_ id: UInt64) { open[id] = nil }

  func drain() {
    for call in Array(open.values) { call.serverIsDraining() }
  }

  /// Sorting ids takes about a millisecond of the loop with 10,000 calls; only a page of them is described.
  func calls<Entry>(after id: UInt64, limit: Int, _ describe: (RPCCall) -> Entry) -> [(id: UInt64, entry: Entry)] {
    open.keys.filter { $0 > id }.sorted().prefix(limit).compactMap { id in
      open[id].map { (id, describe($0)) }
    }
  }

  func abort(_ id: UInt64, _ status: RPCStatus) -> Bool {
    guard let call = open[id] else { return false }
    call.abort(status)
    return true
  }
}
