// What the connections of one event loop count against the byte budget.
package import HTTPCore

/// Used on one event loop only.
package final class ConnectionMemory {
  /// Windows beyond the first 64 KiB of a connection.
  let windows: ByteAccount
  /// Answers that clients have not read.
  let held: ByteAccount
  /// What nghttp2 works with.
  let blocks = HTTP2SessionBlocks()

  package init(_ budget: ByteBudget) {
    windows = ByteAccount(budget, .windows)
    held = ByteAccount(budget, .held)
  }

  /// The window that a connection is to have, counted already; nil when it stays as it is. A window is never made
  /// smaller: what has been promised may come.
  /// - Parameters:
  ///   - received: bytes since the connection began.
  ///   - uncredited: bytes of them for which the window has not been opened again.
  func grow(_ window: Int32, received: Int, uncredited: Int, _ limits: HTTP2Limits) -> Int32? {
    var wanted = window
    if received > Int(window) / 2 { wanted = max(wanted, limits.connectionWindowBytes) }
    if uncredited > Int(window) / 2 { wanted = max(wanted, window * 2) }
    wanted = min(wanted, limits.maximumConnectionWindowBytes)
    guard wanted > window else { return nil }
    return windows.reserve(Int(wanted - window), upTo: windows.budget.openWindowMarkBytes) ? wanted : nil
  }
}
