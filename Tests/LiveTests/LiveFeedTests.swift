// What a subscriber sees: the latest of each device, the tail without a gap, gaps that add up, and its return.
import Live
import Logging
import PostgresStore
import Status
import Telemetry
import Testing
import TestSupport

@Suite("Live feed") struct LiveFeedTests {
  // MARK: Beginning

  @Test("first the latest of each device, from the table and from what was published since")
  func latest() async throws {
    let fixture = LiveFixture()
    fixture.history.store([.init("A", 10, 1, ingestedAt: 1), .init("B", 20, 2, ingestedAt: 1),
                           .init("A", 11, 3, ingestedAt: 2)])
    let first = try await fixture.feed.subscribe(LiveFilter())
    #expect(try await first.values(2) == ["A 11 3", "B 20 2"])
    fixture.commit([("A", 12, 4), ("C", 5, 5)])
    #expect(try await first.values(2) == ["A 12 4", "C 5 5"])
    let second = try await fixture.feed.subscribe(LiveFilter())
    #expect(try await second.values(3).sorted() == ["A 12 4", "B 20 2", "C 5 5"])
  }

  @Test("what is committed while the latest are loaded is neither lost nor sent twice")
  func duringTheLoad() async throws {
    let fixture = LiveFixture()
    fixture.history.store([.init("A", 10, 1, ingestedAt: 1)])
    // After the table was read: the load does not see them.
    fixture.history.afterNextAnswer { fixture.commit([("A", 11, 2), ("B", 1, 3)]) }
    let subscription = try await fixture.feed.subscribe(LiveFilter())
    #expect(try await subscription.values(2).sorted() == ["A 11 2", "B 1 3"])
    fixture.commit([("A", 12, 4)])
    #expect(try await subscription.values(1) == ["A 12 4"])
  }

  @Test("older than the latest, refused, and backfill: not sent, and the latest stays") func leftOut() async throws {
    let fixture = LiveFixture()
    let subscription = try await fixture.feed.subscribe(LiveFilter())
    // It begins with its first pull: what was committed before is only the latest.
    fixture.commit([("A", 0, 0)])
    #expect(try await subscription.values(1) == ["A 0 0"])
    fixture.commit([("A", 10, 1)])
    fixture.commit([("A", 9, 2), ("A", 10, 3), ("A", 11, 4), ("A", 12, 5)], except: [3])
    fixture.commit([("A", 99, 6)], isHistorical: true)
    fixture.commit([("A", 12, 7)])
    #expect(try await subscription.values(4) == ["A 10 1", "A 10 3", "A 11 4", "A 12 7"])
    let other = try await fixture.feed.subscribe(LiveFilter())
    #expect(try await other.values(1) == ["A 12 7"])
  }

  @Test("only the devices that were asked for, also those that come later") func filter() async throws {
    let fixture = LiveFixture()
    fixture.history.store([.init("A", 1, 1, ingestedAt: 1), .init("B", 1, 2, ingestedAt: 1)])
    var filter = LiveFilter()
    filter.deviceIDs = ["B", "Z"]
    let subscription = try await fixture.feed.subscribe(filter)
    #expect(try await subscription.values(1) == ["B 1 2"])
    fixture.commit([("A", 2, 3), ("Z", 2, 4), ("Y", 2, 5), ("B", 2, 6)])
    #expect(try await subscription.values(2) == ["Z 2 4", "B 2 6"])
  }

  @Test("anomalies only: latest values, tail") func anomalies() async throws {
    let fixture = LiveFixture()
    var filter = LiveFilter()
    filter.anomaliesOnly = true
    let all = try await fixture.feed.subscribe(LiveFilter())
    fixture.commit([("A", 1, 1), ("B", 1, 2)], anomalies: [true, false])
    _ = try await all.values(2)
    let subscription = try await fixture.feed.subscribe(filter)
    #expect(try await subscription.values(1) == ["A 1 1"])
    fixture.commit([("A", 2, 3), ("B", 2, 4)], anomalies: [false, true])
    #expect(try await subscription.values(1) == ["B 2 4"])
  }

  @Test("the table can't be read: the error is the subscriber's, and the next one is served")
  func failure() async throws {
    let fixture = LiveFixture()
    fixture.history.store([.init("A", 1, 1, ingestedAt: 1)])
    fixture.history.failNext(.unavailable("away", retryAfter: .seconds(1)))
    let error = await #expect(throws: RPCStatus.self) { try await fixture.feed.subscribe(LiveFilter()) }
    #expect(error?.code == .unavailable)
    let subscription = try await fixture.feed.subscribe(LiveFilter())
    #expect(try await subscription.values(1) == ["A 1 1"])
  }

  // MARK: Slow readers

  @Test("a reader that is overtaken gets a gap and the newest of each device; sent and gaps add up")
    func gap() async throws {
    let fixture = LiveFixture(ring: 50)
    let subscription = try await fixture.feed.subscribe(LiveFilter())
    fixture.commit([("A", 0, 0), ("B", 0, 0), ("C", 0, 0)])
    #expect(try await subscription.values(3).count == 3)
    for time in 1...100 { fixture.commit([("A", Int64(time), Float(time)), ("B", Int64(time), Float(time))]) }
    let piece = try await subscription.next()
    #expect(piece.gap == 198)
    #expect(try await subscription.values(2) == ["A 100 100.0", "B 100 100.0"].map { $0.replacing(".0", with: "") })
    fixture.commit([("C", 1, 1)])
    #expect(try await subscription.values(1) == ["C 1 1"])
  }

  @Test("for ever slow, with any filter: what was published is what was sent and what the gaps say",
        arguments: [[], ["A"], ["B", "D", "Z"]])
    func conservation(devices: [String]) async throws {
    let fixture = LiveFixture(ring: 64, piece: 5)
    var filter = LiveFilter()
    filter.deviceIDs = devices
    let subscription = try await fixture.feed.subscribe(filter)
    var random = SystemRandomNumberGenerator()
    var published: UInt64 = 0
    var (sent, gaps): (UInt64, UInt64) = (0, 0)
    var newest: [String: Int64] = [:]
    func take(_ piece: LivePiece) {
      gaps += piece.gap
      sent += UInt64(piece.readings.count)
      for reading in piece.readings.batch.readings {
        let device = piece.readings.batch.string(reading.deviceID)
        #expect(reading.timestamp > newest[device] ?? -1, "per device in order, none twice")
        newest[device] = reading.timestamp
      }
    }
    // It begins with its first pull.
    fixture.commit(["A", "B", "C", "D"].map { ($0, -1, 0) })
    _ = try await subscription.values(devices.isEmpty ? 4 : devices.count { $0 != "Z" })
    for time in 0..<400 {
      let batch = (0..<Int.random(in: 1...20, using: &random)).map { index in
        (["A", "B", "C", "D"][index % 4], Int64(time * 100 + index), Float(time))
      }
      published += UInt64(batch.count { devices.isEmpty || devices.contains($0.0) })
      fixture.commit(batch)
      if time % 7 == 0, published > sent + gaps { take(try await subscription.next()) }
    }
    while sent + gaps < published { take(try await subscription.next()) }
    #expect(sent + gaps == published)
    #expect(gaps > 0)
    for device in ["A", "B", "C", "D"] where devices.isEmpty || devices.contains(device) {
      #expect(newest[device] == fixture.newest(of: device), "all have the newest at the end")
    }
  }

  // MARK: Limits and ends

  @Test("one subscriber too many is refused until another has gone") func tooMany() async throws {
    let fixture = LiveFixture(subscribers: 2)
    let first = try await fixture.feed.subscribe(LiveFilter())
    var second: LiveSubscription? = try await fixture.feed.subscribe(LiveFilter())
    let error = await #expect(throws: RPCStatus.self) { try await fixture.feed.subscribe(LiveFilter()) }
    #expect(error?.code == .resourceExhausted)
    #expect(second != nil)
    second = nil
    let third = try await fixture.feed.subscribe(LiveFilter())
    fixture.commit([("A", 1, 1)])
    #expect(try await first.values(1) == ["A 1 1"])
    #expect(try await third.values(1) == ["A 1 1"])
  }

  @Test("devices beyond the limit are left out, the others go on") func tooManyDevices() async throws {
    let fixture = LiveFixture(devices: 2)
    let subscription = try await fixture.feed.subscribe(LiveFilter())
    // It begins with its first pull: what was committed before is only the latest.
    fixture.commit([("A", 0, 0)])
    #expect(try await subscription.values(1) == ["A 0 0"])
    fixture.commit([("A", 1, 1), ("B", 1, 2), ("C", 1, 3), ("A", 2, 4)])
    #expect(try await subscription.values(3) == ["A 1 1", "B 1 2", "A 2 4"])
  }

  @Test("a shutdown ends those who wait and those who come") func shutDown() async throws {
    let fixture = LiveFixture()
    let feed = fixture.feed
    let waiting = Task { () async -> RPCStatus? in
      do throws(RPCStatus) {
        _ = try await feed.subscribe(LiveFilter()).next()
        return nil
      } catch {
        return error
      }
    }
    // Before or after it waits: both end.
    await Task.yield()
    feed.shutDown()
    #expect(await waiting.value?.code == .unavailable)
    let late = try await feed.subscribe(LiveFilter())
    let error = await #expect(throws: RPCStatus.self) { try await late.next() }
    #expect(error?.code == .unavailable)
  }

  @Test("a cancelled task stops waiting") func cancelled() async throws {
    let fixture = LiveFixture()
    let feed = fixture.feed
    let waiting = Task { () async -> RPCStatus? in
      do throws(RPCStatus) {
        _ = try await feed.subscribe(LiveFilter()).next()
        return nil
      } catch {
        return error
      }
    }
    waiting.cancel()
    #expect(await waiting.value?.code == .cancelled)
  }
}
