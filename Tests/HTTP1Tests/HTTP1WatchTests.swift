// When a connection has waited too long: by events and times, with no clock.
import HTTP1
import Testing

@Suite("HTTP/1.1 watch") struct HTTP1WatchTests {
  static let begin = ContinuousClock.now

  static func at(_ seconds: Double) -> ContinuousClock.Instant { begin + .seconds(seconds) }

  @Test("each kind of waiting has its time", arguments: [
    (HTTP1Watch.Waiting.nextHead, 75.0), (.body, 60), (.taking, 60), (.close, 2),
  ])
  func times(waiting: HTTP1Watch.Waiting, seconds: Double) {
    var watch = HTTP1Watch(limits: HTTP1Limits(), now: Self.begin)
    let answers = [5, 5 + seconds - 0.1, 5 + seconds].map { watch.isOverdue(waiting, at: Self.at($0)) }
    #expect(answers == [false, false, true])
  }

  @Test("the first head has its time from the beginning, whatever comes of it") func firstHead() {
    var watch = HTTP1Watch(limits: HTTP1Limits(), now: Self.begin)
    let answers = [1, 9.9, 10].map { watch.isOverdue(.firstHead, at: Self.at($0)) }
    #expect(answers == [false, false, true])
  }

  @Test("what happens begins the time anew") func happened() {
    var watch = HTTP1Watch(limits: HTTP1Limits(), now: Self.begin)
    let first = watch.isOverdue(.body, at: Self.at(0))
    watch.happened()
    let answers = [59, 118, 119].map { watch.isOverdue(.body, at: Self.at($0)) }
    #expect(!first && answers == [false, false, true])
  }

  @Test("a method may think for ever") func method() {
    var watch = HTTP1Watch(limits: HTTP1Limits(), now: Self.begin)
    let answers = [0, 1e6].map { watch.isOverdue(.method, at: Self.at($0)) }
    #expect(answers == [false, false])
  }
}
