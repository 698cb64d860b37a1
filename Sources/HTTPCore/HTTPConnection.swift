// One connection of a server, whatever version of HTTP it speaks.

/// What a server does with a connection as a whole. Confined to the connection's event loop.
public protocol HTTPConnection: AnyObject {
  /// Asks the client to go: what is being answered is answered, then the connection closes.
  func drain()
  /// Closes now.
  func close()
  /// Called again and again: pings, asks to go or cuts, as the limits of the version say.
  func check(at now: ContinuousClock.Instant)
}
