// When a connection is pinged, asked to go or cut: by events and times, with no clock.
import HTTP2
import Testing

@Suite("Connection watch") struct ConnectionWatchTests {
  static let begin = ContinuousClock.now

  static func limits(_ change: (inout HTTP2Limits) -> Void = { _ in }) -> HTTP2Limits {
    var limits = HTTP2Limits()
    change(&limits)
    return limits
  }

  static func watch(_ limits: HTTP2Limits = limits(), jitter: Double = 0) -> ConnectionWatch {
    ConnectionWatch(limits: limits, now: begin, jitter: jitter)
  }

  static func at(_ seconds: Double) -> ContinuousClock.Instant { begin + .seconds(seconds) }

  /// What is due then.
  func expect(_ watch: inout ConnectionWatch, at seconds: Double, openStreams: Int, _ action: ConnectionWatch.Action?,
              sourceLocation: SourceLocation = #_sourceLocation) {
    let found = watch.check(at: Self.at(seconds), openStreams: openStreams)
    #expect(found == action, sourceLocation: sourceLocation)
  }

  @Test("a connection that never greets is cut") func handshake() {
    var watch = Self.watch()
    watch.received()
    expect(&watch, at: 9, openStreams: 0, nil)
    expect(&watch, at: 10, openStreams: 0, .cut("no HTTP/2 preface in time"))
  }

  @Test("silence is answered by one ping, and silence after it by a cut") func silence() {
    var watch = Self.watch()
    watch.greeted()
    expect(&watch, at: 59, openStreams: 1, nil)
    expect(&watch, at: 60, openStreams: 1, .ping)
    expect(&watch, at: 79, openStreams: 1, nil)
    expect(&watch, at: 80, openStreams: 1, .cut("no answer to PING"))
  }

  @Test("whatever comes is an answer") func answer() {
    var watch = Self.watch()
    watch.greeted()
    expect(&watch, at: 60, openStreams: 1, .ping)
    watch.received()
    expect(&watch, at: 80, openStreams: 1, nil)
    expect(&watch, at: 139, openStreams: 1, nil)
    expect(&watch, at: 140, openStreams: 1, .ping)
  }

  @Test("the third strike is one too many; slow pings are none") func strikes() {
    var watch = Self.watch()
    let slow = stride(from: 0.0, to: 1000, by: 10).map { watch.receivedPing(at: Self.at($0)) }
    #expect(slow.allSatisfy { $0 })
    let quick = [991, 992, 993].map { watch.receivedPing(at: Self.at($0)) }
    #expect(quick == [true, true, false])
  }

  @Test("DATA or HEADERS clear the strikes") func cleared() {
    var watch = Self.watch()
    for second in 0..<50 {
      if second % 3 == 0 { watch.exchanged() }
      let isWelcome = watch.receivedPing(at: Self.at(Double(second)))
      #expect(isWelcome)
    }
  }

  @Test("without a stream a connection is asked to go, once, and cut after the grace") func idle() {
    var watch = Self.watch(Self.limits { $0.keepaliveInterval = .seconds(100_000) })
    watch.greeted()
    expect(&watch, at: 1000, openStreams: 0, nil)
    expect(&watch, at: 1100, openStreams: 1, nil)
    expect(&watch, at: 1200, openStreams: 0, nil)
    expect(&watch, at: 2999, openStreams: 0, nil)
    expect(&watch, at: 3000, openStreams: 0, .drain)
    expect(&watch, at: 3029, openStreams: 0, nil)
    expect(&watch, at: 3030, openStreams: 0, .cut("the grace of its age has passed"))
  }

  @Test("an old connection is asked to go, a tenth sooner or later", arguments: [(0.0, 100.0), (1, 110), (-1, 90)])
  func age(jitter: Double, seconds: Double) {
    var watch = Self.watch(Self.limits {
      $0.maximumConnectionAge = .seconds(100)
      $0.keepaliveInterval = .seconds(1000)
    }, jitter: jitter)
    watch.greeted()
    expect(&watch, at: seconds - 1, openStreams: 1, nil)
    expect(&watch, at: seconds, openStreams: 1, .drain)
    expect(&watch, at: seconds + 30, openStreams: 1, .cut("the grace of its age has passed"))
  }
}
