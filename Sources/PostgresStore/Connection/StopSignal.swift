// A one-way switch that any thread may throw and that wakes a thread waiting on a socket. Fence file: a pipe.
import Glibc
import Synchronization

/// Tells a blocked operation to give up. Once signalled it stays so; a new operation gets a new one.
package final class StopSignal: Sendable {
  /// Readable from the moment of `signal()` on; for poll(2) beside a socket.
  let fileDescriptor: Int32
  private let writeEnd: Int32
  private let signalled = Atomic<Bool>(false)

  /// For what lives as long as the program, made at its start.
  package convenience init() {
    do throws(PostgresError) {
      try self.init(forOneUse: ())
    } catch {
      preconditionFailure("at the start of the program file descriptors are left: \(error)")
    }
  }

  /// For one operation. Throws when the process has no file descriptors left.
  init(forOneUse: Void) throws(PostgresError) {
    var ends: [Int32] = [-1, -1]
    guard unsafe pipe(&ends) == 0 else {
      throw PostgresError(.other, sqlState: "53000", "no file descriptor is left, errno \(errno)")
    }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    fileDescriptor = ends[0]
    writeEnd = ends[1]
  }

  deinit {
    close(fileDescriptor)
    close(writeEnd)
  }

  package var isSignalled: Bool { signalled.load(ordering: .acquiring) }

  /// From any thread; the second time does nothing.
  package func signal() {
    guard !signalled.exchange(true, ordering: .acquiringAndReleasing) else { return }
    var byte: UInt8 = 1
    // An empty pipe takes one byte at once.
    _ = unsafe write(writeEnd, &byte, 1)
  }

  /// Sleeps; returns early when signalled.
  package func sleep(for duration: Duration) {
    var entry = pollfd(fd: fileDescriptor, events: Int16(POLLIN), revents: 0)
    // EINTR only shortens a back-off.
    _ = unsafe poll(&entry, 1, duration.wholeMilliseconds)
  }
}

extension Duration {
  /// For poll(2): rounded up, so that a wait never spins; at most a day.
  var wholeMilliseconds: Int32 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    return Int32(min(seconds, 86_400) * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
  }
}
