// The byte budget: what it counts, what it refuses, and that nobody waits for ever.
import HTTPCore
import Synchronization
import Testing

@Suite("Byte budget") struct ByteBudgetTests {
  @Test("a reservation beyond the mark is refused, and counts nothing") func reserve() {
    let budget = ByteBudget(limitBytes: 1000)
    #expect(budget.reserve(300, of: .windows, upTo: 500))
    #expect(!budget.reserve(201, of: .windows, upTo: 500))
    #expect(budget.usedBytes(.windows) == 300)
    #expect(budget.reserve(200, of: .windows, upTo: 500))
    #expect(budget.usedBytes(.held) == 0)
  }

  @Test("streams wait at three quarters of a half, calls are refused at the whole of it") func marks() {
    let budget = ByteBudget(limitBytes: 800)
    budget.take(299, of: .held)
    #expect(!budget.mustStreamsWait)
    budget.take(1, of: .held)
    #expect(budget.mustStreamsWait && !budget.isExhausted)
    budget.take(100, of: .held)
    #expect(budget.isExhausted)
    budget.release(101, of: .held)
    #expect(!budget.mustStreamsWait)
  }

  @Test("a release wakes who waits only when it leaves room") func wake() {
    let budget = ByteBudget(limitBytes: 800)
    budget.take(400, of: .held)
    let woken = Counter()
    budget.whenReleased { woken.number.add(1, ordering: .relaxed) }
    budget.release(50, of: .held)
    #expect(woken.number.load(ordering: .relaxed) == 0)
    budget.release(51, of: .held)
    #expect(woken.number.load(ordering: .relaxed) == 1)
    budget.release(10, of: .held)
    #expect(woken.number.load(ordering: .relaxed) == 1, "once only")
  }

  @Test("a loop's account asks in chunks and gives back what is over") func account() {
    let budget = ByteBudget(limitBytes: 8 << 20)
    do {
      let account = ByteAccount(budget, .held)
      account.take(10)
      #expect(budget.usedBytes(.held) == 10 + (64 << 10))
      for _ in 0..<1000 { account.take(10) }
      #expect(budget.usedBytes(.held) == 10 + (64 << 10), "counting is an addition")
      account.take(1 << 20)
      account.release(1 << 20)
      #expect(budget.usedBytes(.held) <= 10_010 + (64 << 10))
    }
    #expect(budget.usedBytes(.held) == 0, "an account that ends owes nothing")
  }

  @Test("an account gets the last bytes below the mark, though no whole chunk") func exact() {
    let budget = ByteBudget(limitBytes: 2 << 20)
    let account = ByteAccount(budget, .windows)
    #expect(account.reserve(1000, upTo: 1000))
    #expect(!account.reserve(1, upTo: 1000))
    account.release(1000)
    #expect(account.reserve(1, upTo: 1000))
  }

  @Test("while somebody waits an account keeps nothing in reserve") func generous() {
    let budget = ByteBudget(limitBytes: 2 << 20)
    let account = ByteAccount(budget, .windows)
    account.take(100)
    let woken = Counter()
    budget.whenReleased { woken.number.add(1, ordering: .relaxed) }
    account.release(100)
    #expect(budget.usedBytes(.windows) == 0)
    #expect(woken.number.load(ordering: .relaxed) == 1)
  }

  /// Threads fill the budget and wait for each other. A wake that is lost leaves one of them waiting: the test hangs,
  /// and its time limit ends it.
  @Test("no wake is lost between threads", .timeLimit(.minutes(2))) func wakes() async {
    let budget = ByteBudget(limitBytes: 800)
    await withTaskGroup { group in
      for _ in 0..<8 {
        group.addTask {
          for _ in 0..<5000 {
            while !budget.reserve(100, of: .held, upTo: budget.streamMarkBytes) {
              await withCheckedContinuation { continuation in
                let resume = Resume(continuation)
                budget.whenReleased { resume() }
                // The look after asking, as CallMemory has it.
                if budget.usedBytes(.held) + 100 <= budget.streamMarkBytes { resume() }
              }
            }
            await Task.yield()
            budget.release(100, of: .held)
          }
        }
      }
    }
    #expect(budget.usedBytes(.held) == 0)
  }
}

private final class Counter: Sendable {
  let number = Atomic(0)
}

/// Resumes a continuation once, whoever is first.
private final class Resume: Sendable {
  private let continuation: CheckedContinuation<Void, Never>
  private let isDone = Atomic(false)

  init(_ continuation: CheckedContinuation<Void, Never>) { self.continuation = continuation }

  func callAsFunction() {
    if !isDone.exchange(true, ordering: .acquiringAndReleasing) { continuation.resume() }
  }
}
