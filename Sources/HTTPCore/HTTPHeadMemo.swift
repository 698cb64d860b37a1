// A place to keep what was found out about a head that comes again and again.

/// Belongs to one head and to all exchanges of a connection that have the very same: what a handler finds out from the
/// head alone (its method, its limits) is kept here, and is there at the next request. On the connection's loop.
public final class HTTPHeadMemo: @unchecked Sendable {
  // @unchecked because it is used on its connection's loop only.
  /// The handler's own; nil at first.
  public var value: AnyObject?

  public init() {}
}
