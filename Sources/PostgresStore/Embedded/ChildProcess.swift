// Programs that we run. Fence file: posix_spawn, waitid, kill.
import Glibc

/// A child process: in its own process group (Ctrl-C in a terminal is for us, not for it), with default signals, no
/// input, no file of ours, and an environment without our secrets.
///
/// Not Foundation's `Process`: it passes on ignored signals, and it has no say in the thread that the child's death
/// signal hangs on.
struct ChildProcess: Sendable {
  enum Exit: Sendable, Equatable, CustomStringConvertible {
    case exited(Int32)
    case killed(signal: Int32)

    var description: String {
      switch self {
      case .exited(let code): "exit code \(code)"
      case .killed(let signal): "signal \(signal)"
      }
    }
  }

  let processID: Int32

  /// Starts `program[0]`, sought on the path, in folder `/` (ours may be closed to the account that it runs as); its
  /// output is appended to the file `output`.
  init(_ program: [String], output: String) throws(EmbeddedPostgresError) {
    let arguments = ["env", "--chdir=/"] + program
    var actions = unsafe posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawnattr_init(&attributes)
    defer {
      unsafe posix_spawn_file_actions_destroy(&actions)
      unsafe posix_spawnattr_destroy(&attributes)
    }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    unsafe posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    unsafe posix_spawn_file_actions_adddup2(&actions, 1, 2)
    // All of ours are close-on-exec, or should be; closing what is closed is no error (glibc).
    for name in FileSystem.names(in: "/proc/self/fd") {
      if let file = Int32(name), file > 2 { unsafe posix_spawn_file_actions_addclose(&actions, file) }
    }
    Self.setAttributes(&attributes)
    let environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"]
    var processID: Int32 = 0
    let status = unsafe withCStrings(arguments) { argv in
      unsafe withCStrings(environment) { envp in
        unsafe posix_spawnp(&processID, arguments[0], &actions, &attributes, Self.mutable(argv), Self.mutable(envp))
      }
    }
    guard status == 0 else {
      throw .failed("\(program[0]) cannot be started: \(unsafe String(cString: strerror(status)))")
    }
    self.processID = processID
  }

  /// Waits for the end and forgets the process.
  func waitAndReap() -> Exit {
    waitForExit()
    return reap()
  }

  /// Waits for the end, but leaves the process id in use until `reap`: a signal sent meanwhile meets nobody else.
  func waitForExit() {
    var info = unsafe siginfo_t()
    while unsafe waitid(P_PID, id_t(processID), &info, WEXITED | WNOWAIT) != 0, errno == EINTR {}
  }

  /// After `waitForExit`.
  func reap() -> Exit {
    var status: Int32 = 0
    while unsafe waitpid(processID, &status, 0) < 0, errno == EINTR {}
    // WIFEXITED and its siblings are macros (bits/waitstatus.h).
    return status & 0x7F == 0 ? .exited((status >> 8) & 0xFF) : .killed(signal: status & 0x7F)
  }

  func send(_ signal: Int32) { kill(processID, signal) }

  private static func setAttributes(_ attributes: inout posix_spawnattr_t) {
    var none = sigset_t()
    var reset = sigset_t()
    unsafe sigemptyset(&none)
    unsafe sigemptyset(&reset)
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGALRM, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD] {
      unsafe sigaddset(&reset, signal)
    }
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &reset)
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    let flags = Int32(POSIX_SPAWN_SETPGROUP) | Int32(POSIX_SPAWN_SETSIGMASK) | Int32(POSIX_SPAWN_SETSIGDEF)
    unsafe posix_spawnattr_setflags(&attributes, Int16(flags))
  }

  /// posix_spawn takes `char *const[]` for history's sake and changes nothing.
  private static func mutable(
    _ strings: UnsafePointer<UnsafePointer<CChar>?>
  ) -> UnsafePointer<UnsafeMutablePointer<CChar>?> {
    unsafe UnsafeRawPointer(strings).assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self)
  }
}
