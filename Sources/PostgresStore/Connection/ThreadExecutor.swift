// Threads of our own for blocking C calls: never an event loop, never the shared pool. Fence file: runs unowned jobs.
import Foundation

/// Runs the jobs of an actor one after the other on one thread, which ends with the executor.
package final class ThreadExecutor: SerialExecutor {
  private let queue = Queue()

  package init(name: String) {
    let queue = queue
    DetachedThread.start(name) { queue.run() }
  }

  deinit { queue.close() }

  package func enqueue(_ job: consuming ExecutorJob) {
    queue.append(UnownedJob(job), for: self)
  }

  /// Outlives the executor until its thread has left.
  private final class Queue: @unchecked Sendable {
    // @unchecked because every access to the list is made under the condition's lock.
    private let condition = NSCondition()
    private var jobs: [(UnownedJob, ThreadExecutor)] = []
    private var isClosed = false

    func append(_ job: UnownedJob, for executor: ThreadExecutor) {
      condition.withLock {
        jobs.append((job, executor))
        condition.signal()
      }
    }

    func close() {
      condition.withLock {
        isClosed = true
        condition.signal()
      }
    }

    func run() {
      while let batch = next() {
        for (job, executor) in batch { unsafe job.runSynchronously(on: executor.asUnownedSerialExecutor()) }
      }
    }

    private func next() -> [(UnownedJob, ThreadExecutor)]? {
      condition.withLock {
        while jobs.isEmpty, !isClosed { condition.wait() }
        defer { jobs = [] }
        return jobs.isEmpty ? nil : jobs
      }
    }
  }
}

/// A named thread that ends with its body.
package enum DetachedThread {
  package static func start(_ name: String, _ body: @escaping @Sendable () -> Void) {
    let thread = Thread(block: body)
    thread.name = name
    thread.start()
  }
}
