// How long to wait before the next attempt.

/// 50 ms, doubling to 5 s, each with up to half of it taken off at random, so that many servers do not come at once.
struct Backoff {
  static let first: Duration = .milliseconds(50)
  static let longest: Duration = .seconds(5)

  private var next = Self.first

  mutating func reset() { next = Self.first }

  mutating func take() -> Duration {
    defer { next = min(next * 2, Self.longest) }
    return next * Double.random(in: 0.5...1)
  }
}
