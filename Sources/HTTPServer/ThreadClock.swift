// CPU time of a thread: what it worked, not what others took meanwhile.
internal import Glibc

/// Of the machine's clocks the one that does not run while others work.
package enum ThreadClock {
  /// Of the thread that asks. A system call of some 0.2 us.
  package static func now() -> Duration {
    var time = timespec()
    guard unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0 else {
      preconditionFailure("Linux has a clock for each thread's CPU time")
    }
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }
}
