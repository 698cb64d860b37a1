// As which user the server runs: PostgreSQL refuses to run as root. Fence file: getpwnam.
import Glibc

/// The account of the server process: ourselves, or `postgres` when we are root.
struct ServerAccount: Sendable {
  let name: String
  let userID: UInt32
  let groupID: UInt32
  /// Not ourselves.
  let isOther: Bool

  static func current() throws(EmbeddedPostgresError) -> ServerAccount {
    let me = geteuid()
    guard me == 0 else { return ServerAccount(name: "", userID: me, groupID: getegid(), isOther: false) }
    guard let entry = unsafe getpwnam("postgres") else { throw .notInstalled(version: nil) }
    return unsafe ServerAccount(name: "postgres", userID: entry.pointee.pw_uid, groupID: entry.pointee.pw_gid,
                                isOther: true)
  }

  /// The command line that runs a program under this account and interrupts it when the thread that started it ends, so
  /// that `kill -9` of espd leaves no server behind.
  ///
  /// setpriv (util-linux, always installed on Debian) sets the death signal after the user: the kernel clears it when
  /// the user changes.
  func command(_ program: String, _ arguments: [String]) -> [String] {
    let identity = isOther ? ["--reuid=\(userID)", "--regid=\(groupID)", "--init-groups"] : []
    return ["setpriv"] + identity + ["--pdeathsig", "INT", program] + arguments
  }

  /// Whether this account can get into a directory, all its parents included. Asked of the kernel, by a process of that
  /// account.
  func canEnter(_ directory: String) throws(EmbeddedPostgresError) -> Bool {
    guard isOther else { return true }
    let test = try ChildProcess(command("test", ["-x", directory]), output: "/dev/null")
    return test.waitAndReap() == .exited(0)
  }
}
