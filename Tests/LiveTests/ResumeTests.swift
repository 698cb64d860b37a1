// A subscriber that comes back: to the same server, to another run of it, after too long.
import Foundation
import Live
import Logging
import PostgresStore
import Status
import Telemetry
import Testing
import TestSupport

@Suite("Resuming a subscription") struct ResumeTests {
  @Test("within the ring: exactly what came after") func ring() async throws {
    let fixture = LiveFixture()
    let first = try await fixture.feed.subscribe(LiveFilter())
    // It begins with its first pull: what was committed before is only the latest.
    fixture.commit([("A", 0, 0)])
    #expect(try await first.values(1) == ["A 0 0"])
    fixture.commit([("A", 1, 1), ("A", 2, 2), ("A", 3, 3)])
    let piece = try await first.next()
    fixture.commit([("B", 1, 4)])
    for (index, rest) in [["A 2 2", "A 3 3", "B 1 4"], ["A 3 3", "B 1 4"], ["B 1 4"]].enumerated() {
      let again = try await fixture.feed.subscribe(LiveFilter(), resumeToken: piece.resumeToken(after: index))
      #expect(try await again.values(rest.count) == rest)
    }
  }

  @Test("cut off among the latest values: they come again, and nothing since is lost") func snapshot() async throws {
    let fixture = LiveFixture(piece: 2)
    fixture.history.store((0..<5).map { .init("D\($0)", 1, Float($0), ingestedAt: 1) })
    let first = try await fixture.feed.subscribe(LiveFilter())
    let piece = try await first.next()
    #expect(piece.readings.count == 2)
    fixture.commit([("D0", 2, 10), ("D0", 3, 11)])
    let again = try await fixture.feed.subscribe(LiveFilter(), resumeToken: piece.resumeToken(after: 1))
    #expect(try await again.values(6) == ["D1 1 1", "D2 1 2", "D3 1 3", "D4 1 4", "D0 2 10", "D0 3 11"])
  }

  @Test("after a restart: all that was stored since, in order, and at the seam no more than one transaction again")
  func restart() async throws {
    let fixture = LiveFixture()
    let first = try await fixture.feed.subscribe(LiveFilter())
    fixture.commit([("A", 1, 1), ("B", 1, 2), ("A", 2, 3)])
    let piece = try await first.next()
    fixture.commit((3..<20).map { ("A", Int64($0), Float($0)) })
    // Older than A's latest, and of a producer that fills in the past: no subscriber of the time saw them.
    fixture.commit([("A", 2, 99), ("C", 7, 7)])
    let other = LiveFixture(history: fixture.history, after: fixture)
    let again = try await other.feed.subscribe(LiveFilter(), resumeToken: piece.resumeToken(after: 1))
    let expected = ["A 1 1", "B 1 2", "A 2 3"] + (3..<20).map { "A \($0) \($0)" } + ["C 7 7"]
    #expect(try await again.values(expected.count) == expected)
    other.commit([("A", 20, 20)])
    #expect(try await again.values(1) == ["A 20 20"])
  }

  @Test("committed while the table is read: neither lost nor twice") func seam() async throws {
    let fixture = LiveFixture()
    let first = try await fixture.feed.subscribe(LiveFilter())
    fixture.commit([("A", 1, 1)])
    let token = try await first.next().resumeToken(after: 0)
    let other = LiveFixture(history: fixture.history, after: fixture)
    // The feed is loaded before the interlude.
    _ = try await other.feed.subscribe(LiveFilter())
    let again = try await other.feed.subscribe(LiveFilter(), resumeToken: token)
    other.history.afterNextAnswer { other.commit([("A", 2, 2), ("B", 2, 3)]) }
    #expect(try await again.values(3) == ["A 1 1", "A 2 2", "B 2 3"])
    other.commit([("A", 3, 4)])
    #expect(try await again.values(1) == ["A 3 4"])
  }

  @Test("seen in the table before it is published: sent once") func publishedLate() async throws {
    let fixture = LiveFixture()
    let first = try await fixture.feed.subscribe(LiveFilter())
    fixture.commit([("A", 1, 1)])
    let token = try await first.next().resumeToken(after: 0)
    let other = LiveFixture(history: fixture.history, after: fixture)
    _ = try await other.feed.subscribe(LiveFilter())
    let publish = other.store([("A", 2, 2), ("B", 2, 3)])
    let again = try await other.feed.subscribe(LiveFilter(), resumeToken: token)
    #expect(try await again.values(3) == ["A 1 1", "A 2 2", "B 2 3"])
    publish()
    other.commit([("A", 3, 4)])
    #expect(try await again.values(1) == ["A 3 4"])
  }

  @Test("after too long: a gap with what was left out, then what is not too old") func tooLong() async throws {
    let fixture = LiveFixture(began: .seconds(2 * 86_400))
    let first = try await fixture.feed.subscribe(LiveFilter())
    fixture.commit([("A", 1, 1)])
    let token = try await first.next().resumeToken(after: 0)
    for time in 2..<12 { fixture.commit([("A", Int64(time), Float(time))]) }
    let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
    fixture.history.store([.init("A", 12, 12, ingestedAt: now - 1000)])
    let other = LiveFixture(history: fixture.history, after: fixture)
    let again = try await other.feed.subscribe(LiveFilter(), resumeToken: token)
    let piece = try await again.next()
    #expect(piece.gap == 11)
    #expect(try await again.values(1) == ["A 12 12"])
  }

  @Test("overtaken by the ring of the same run: the table fills the gap") func overtaken() async throws {
    let fixture = LiveFixture(ring: 10)
    let first = try await fixture.feed.subscribe(LiveFilter())
    fixture.commit([("A", 1, 1)])
    let token = try await first.next().resumeToken(after: 0)
    for time in 2...40 { fixture.commit([("A", Int64(time), Float(time))]) }
    let again = try await fixture.feed.subscribe(LiveFilter(), resumeToken: token)
    #expect(try await again.values(40) == (1...40).map { "A \($0) \($0)" })
  }

  @Test("what is no token is refused", arguments: ["x", "", "AQ", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"])
  func malformed(text: String) async throws {
    let fixture = LiveFixture()
    let first = try await fixture.feed.subscribe(LiveFilter())
    fixture.commit([("A", 1, 1)])
    let good = try await first.next().resumeToken(after: 0)
    for token in [text.isEmpty ? String(good.dropLast()) : text, good + "A"] {
      let error = await #expect(throws: RPCStatus.self) {
        try await fixture.feed.subscribe(LiveFilter(), resumeToken: token)
      }
      #expect(error?.code == .invalidArgument)
      #expect(error?.message.contains("resume_token") == true)
    }
  }
}
