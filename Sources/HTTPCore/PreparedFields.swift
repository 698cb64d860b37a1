// Fields that are sent again and again.
internal import Synchronization

/// A response head, or trailers, that are the same for many responses: a transport makes its own form of them once and
/// finds it again by `id`. Make few of them, once a process.
public final class PreparedFields: Sendable {
  /// 0, 1, 2 ... in the order in which they were made.
  public let id: Int
  /// 0 for trailers.
  public let status: Int
  public let fields: HTTPFields

  private static let count = Atomic(0)

  /// A response head.
  public init(status: Int, fields: HTTPFields) {
    id = Self.count.add(1, ordering: .relaxed).oldValue
    self.status = status
    self.fields = fields
  }

  public convenience init(trailers: HTTPFields) { self.init(status: 0, fields: trailers) }
}
