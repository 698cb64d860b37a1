// All suites that need a server, one test after the other, on threads of their own. Fence file: runs unowned jobs.
import PostgresStore
import Testing

/// The parent of the suites of this module: its tests block, so they must not do so on the shared pool, where the other
/// modules' tests run meanwhile.
@Suite(.serialized, .ownThread) enum DatabaseTests {}

/// Runs each test off the shared pool.
struct OwnThread: SuiteTrait, TestTrait, TestScoping {
  var isRecursive: Bool { true }

  func provideScope(for test: Test, testCase: Test.Case?,
                    performing function: @Sendable () async throws -> Void) async throws {
    try await withTaskExecutorPreference(ThreadPerJob(), operation: function)
  }
}

extension Trait where Self == OwnThread {
  static var ownThread: Self { OwnThread() }
}

/// A thread for each job: for tests, which have few.
final class ThreadPerJob: TaskExecutor {
  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    DetachedThread.start("test") { unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}
