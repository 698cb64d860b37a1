// How much is read in a turn, by a clock of our own: what shortens it, what makes it grow again, where it ends.
import HTTPCore
import Synchronization
import Testing

@Suite("Read allowance") struct ReadAllowanceTests {
  final class Clock: Sendable {
    private let time = Mutex(Duration.zero)
    func now() -> Duration { time.withLock { $0 } }
    func spend(_ duration: Duration) { time.withLock { $0 += duration } }
  }

  let clock = Clock()
  let allowance: ReadAllowance
  let begin = ContinuousClock.now

  init() {
    let clock = clock
    allowance = ReadAllowance(clock: clock.now)
  }

  /// One turn: so many bytes that took so long.
  func turn(_ byteCount: Int, _ duration: Duration, after: Duration = .zero) {
    allowance.began(byteCount)
    clock.spend(duration)
    allowance.ended(at: begin + after)
  }

  @Test("a turn that takes too long halves the next one, down to the least") func shortens() {
    #expect(allowance.byteCount == ReadAllowance.maximumBytes)
    for step in 1...8 {
      turn(allowance.byteCount, ReadAllowance.turnTime + .nanoseconds(1))
      #expect(allowance.byteCount == ReadAllowance.maximumBytes >> step)
    }
    #expect(allowance.byteCount == ReadAllowance.minimumBytes)
    turn(allowance.byteCount, .seconds(1))
    #expect(allowance.byteCount == ReadAllowance.minimumBytes)
  }

  @Test("a turn within its time changes nothing") func within() {
    turn(100_000, ReadAllowance.turnTime)
    #expect(allowance.byteCount == ReadAllowance.maximumBytes)
  }

  @Test("short turns let it grow again, one step a second, and no further than it was") func grows() {
    turn(100_000, .seconds(1))
    turn(100_000, .seconds(1))
    #expect(allowance.byteCount == ReadAllowance.maximumBytes / 4)
    turn(10_000, .zero, after: ReadAllowance.recoveryTime - .nanoseconds(1))
    #expect(allowance.byteCount == ReadAllowance.maximumBytes / 4)
    turn(10_000, .zero, after: ReadAllowance.recoveryTime)
    turn(10_000, .zero, after: ReadAllowance.recoveryTime)
    #expect(allowance.byteCount == ReadAllowance.maximumBytes / 2)
    for second in 2...5 { turn(10_000, .zero, after: ReadAllowance.recoveryTime * second) }
    #expect(allowance.byteCount == ReadAllowance.maximumBytes)
  }

  @Test("a turn of more than half its time does not let it grow: it would be too long again") func hysteresis() {
    turn(100_000, .seconds(1))
    turn(100_000, ReadAllowance.turnTime / 2, after: .seconds(10))
    #expect(allowance.byteCount == ReadAllowance.maximumBytes / 2)
  }

  @Test("small reads are not measured, unless no more may be read") func small() {
    turn(4095, .seconds(1))
    #expect(allowance.byteCount == ReadAllowance.maximumBytes)
    while allowance.byteCount > 2048 { turn(allowance.byteCount, .seconds(1)) }
    turn(2047, .seconds(1))
    #expect(allowance.byteCount == 2048)
    turn(2048, .seconds(1))
    #expect(allowance.byteCount == 1024)
  }

  @Test("several reads of one turn count together") func together() {
    allowance.began(5000)
    clock.spend(ReadAllowance.turnTime / 2)
    allowance.began(5000)
    clock.spend(ReadAllowance.turnTime)
    allowance.ended(at: begin)
    #expect(allowance.byteCount == ReadAllowance.maximumBytes / 2)
    allowance.ended(at: begin)
    #expect(allowance.byteCount == ReadAllowance.maximumBytes / 2)
  }
}
