// The settings of the private database, each with its reason.

enum ClusterConfiguration {
  /// Written to `espd.conf` at each start. What is not here has PostgreSQL's default.
  static let text = """
    # Written by espd at each start; changes here are lost. Your own settings go into data/postgresql.conf and win.

    # An acknowledged batch survives a power cut. These are the defaults, and they stay.
    fsync = on
    synchronous_commit = on
    full_page_writes = on

    # Enough for the hot index pages of a day; the kernel caches the rest.
    shared_buffers = 256MB
    work_mem = 32MB
    maintenance_work_mem = 128MB
    random_page_cost = 1.1

    # A checkpoint makes each page go to the log whole once more: every 15 minutes, not every few.
    max_wal_size = 4GB
    min_wal_size = 256MB
    checkpoint_timeout = 15min
    wal_buffers = 16MB

    # Base backups and point-in-time recovery need this much in the log.
    wal_level = replica

    # Writers, readers, exports, tools.
    max_connections = 50

    # One process uses this server: parallel plans would only take cores from it. JIT costs more than our plans gain.
    max_parallel_workers_per_gather = 0
    jit = off

    timezone = 'UTC'
    log_timezone = 'UTC'
    log_line_prefix = '%m [%p] '
    log_checkpoints = off
    lc_messages = 'C'

    """

  /// On the command line, where no file overrides them: no network, a private socket.
  static func arguments(_ cluster: ClusterDirectory, socketDirectory: String) -> [String] {
    ["-D", cluster.data, "-c", "listen_addresses=", "-c", "port=5432", "-c", "unix_socket_permissions=0700",
     // A list; quoted, for the path may hold a space.
     "-c", "unix_socket_directories=\"\(socketDirectory)\"", "-c", "logging_collector=off"]
  }
}
