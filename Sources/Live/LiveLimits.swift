// What a feed holds at most.

package struct LiveLimits: Sendable {
  /// Readings kept for subscribers that are behind: some 10 MB, a second of a large fleet. Beyond: a reader that is so
  /// slow is told the gap and goes on with the newest value of each device.
  package var ringCount = 65_536
  /// Devices whose latest reading is kept, some 40 MB. Beyond: readings of further devices are not sent; it is logged.
  package var maximumDevices = 200_000
  /// Subscribers at once. Beyond: RESOURCE_EXHAUSTED, retry after 5 s.
  package var maximumSubscribers = 1000
  /// Readings that a subscriber is given at once: what it has in memory beside its stream's 64 KiB.
  package var pieceCount = 256
  /// Readings looked at for it under the lock, which the writer waits for: some 100 us.
  package var scanCount = 8192
  /// How far back a resume token reaches. Beyond: a gap with the number of readings, then what is not too old.
  package var longestResume: Duration = .seconds(86_400)

  package init() {}
}
