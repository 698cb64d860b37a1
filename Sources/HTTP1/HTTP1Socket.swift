// What HTTP/1.1 asks of its socket.
internal import Glibc
internal import NIOCore

enum HTTP1Socket {
  /// What HTTP/2 finds out by its PING is found out by TCP, and no more is read at once than may wait. A channel that
  /// knows no such options does without.
  static func configure(_ channel: any Channel) throws {
    guard let options = channel.syncOptions else { return }
    let values: [(ChannelOptions.Types.SocketOption, Int)] = [
      (.init(level: .socket, name: .so_keepalive), 1),
      (.init(level: .tcp, name: .init(rawValue: TCP_KEEPIDLE)), HTTP1Limits.probeAfterSeconds),
      (.init(level: .tcp, name: .init(rawValue: TCP_KEEPINTVL)), HTTP1Limits.probeIntervalSeconds),
      (.init(level: .tcp, name: .init(rawValue: TCP_KEEPCNT)), HTTP1Limits.probeCount),
    ]
    try options.setOption(.maxMessagesPerRead, value: 1)
    for (option, value) in values { try options.setOption(option, value: .init(value)) }
    try options.setOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator(
      minimum: 2048, initial: 4096, maximum: HTTP1Limits.readBytes))
  }
}
