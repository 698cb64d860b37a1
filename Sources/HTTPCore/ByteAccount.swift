// One event loop's share of the byte budget, taken in chunks so that counting costs an addition.

/// Counts bytes of one half of a budget for one event loop. Used on that loop only.
public final class ByteAccount {
  /// Bytes asked for at once. A loop keeps at most two chunks that it does not use.
  private static let chunkBytes = 64 << 10

  public let budget: ByteBudget
  private let half: ByteBudget.Half
  /// Bytes in use.
  public private(set) var usedBytes = 0
  /// Bytes that the budget counts for this account: never less than are in use.
  private var reservedBytes = 0

  public init(_ budget: ByteBudget, _ half: ByteBudget.Half) {
    self.budget = budget
    self.half = half
  }

  deinit { budget.release(reservedBytes, of: half) }

  /// Counts bytes that are there already.
  public func take(_ byteCount: Int) {
    usedBytes += byteCount
    guard usedBytes > reservedBytes else { return }
    let missing = usedBytes - reservedBytes + Self.chunkBytes
    budget.take(missing, of: half)
    reservedBytes += missing
  }

  /// Counts bytes if the budget stays below `mark`.
  public func reserve(_ byteCount: Int, upTo mark: Int) -> Bool {
    let missing = usedBytes + byteCount - reservedBytes
    if missing > 0 {
      let isRoom = [missing + Self.chunkBytes, missing].first { budget.reserve($0, of: half, upTo: mark) }
      guard let reserved = isRoom else { return false }
      reservedBytes += reserved
    }
    usedBytes += byteCount
    return true
  }

  /// Bytes are gone. What is over goes back to the budget, all of it when somebody waits.
  public func release(_ byteCount: Int) {
    usedBytes -= byteCount
    precondition(usedBytes >= 0, "more bytes given back than were taken")
    let unused = reservedBytes - usedBytes
    guard unused > 2 * Self.chunkBytes || budget.isAwaited else { return }
    let kept = budget.isAwaited ? 0 : Self.chunkBytes
    reservedBytes -= unused - kept
    budget.release(unused - kept, of: half)
  }
}
