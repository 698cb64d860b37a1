// Dead letters: each is either a dead letter or a reading, whatever happens in between; lists that lose nothing.
import Foundation
import PostgresStore
import Status
import Telemetry
import Testing

extension DatabaseTests {
  @Suite("Dead letter store") struct DeadLetterStoreTests {
    // MARK: Requeue

    @Test("what is valid now is stored with all its columns and is no dead letter more; the rest has an attempt more")
    func requeue() async throws {
      let database = try TestDatabase()
      try database.refuse([.valid(81), .invalid, .valid(82), .unreadable])
      let count = try await database.deadLetters().requeue(.matching(DeadLetterFilter()), dryRun: false, judge: judge)
      #expect(count.stored == 2 && count.stillInvalid == 2)
      let rows = try database.connect().query("""
        SELECT device_id, temperature, source_system, data_quality_score, is_anomaly, timestamp FROM telemetry
        ORDER BY temperature
        """)
      #expect((0..<rows.count).map { rows.float($0, 1) } == [81, 82])
      #expect(rows.text(0, 0) == "D" && rows.text(0, 2) == "scada" && rows.float(0, 3) == 1 && !rows.bool(0, 4))
      #expect(rows.timestamp(0, 5) == noon)
      let left = try await database.deadLetters().list(DeadLetterFilter()).letters
      #expect(left.map(\.reason) == ["NO_SIGNALS", "OUT_OF_RANGE"], "an unreadable one keeps its old reason")
      #expect(left.map(\.field) == ["", "temperature"])
      #expect(left.map(\.attempts) == [2, 2])
      #expect(left.allSatisfy { $0.lastAttemptAt > $0.receivedAt })
    }

    @Test("a second requeue of what was stored finds nothing") func requeueTwice() async throws {
      let database = try TestDatabase()
      try database.refuse([.valid(81)])
      let store = database.deadLetters()
      let ids = Set(try await store.list(DeadLetterFilter()).letters.map(\.id))
      #expect(try await store.requeue(.ids(ids), dryRun: false, judge: judge).stored == 1)
      let error = await #expect(throws: RPCStatus.self) {
        try await store.requeue(.ids(ids), dryRun: false, judge: judge)
      }
      #expect(error?.code == .notFound)
      #expect(try await store.requeue(.matching(DeadLetterFilter()), dryRun: false, judge: judge).stored == 0)
      #expect(try database.count() == 1)
    }

    @Test("one unknown id: it is named and nothing is done", arguments: [false, true])
    func unknown(dry: Bool) async throws {
      let database = try TestDatabase()
      try database.refuse([.valid(81), .valid(82)])
      let store = database.deadLetters()
      let ids = Set(try await store.list(DeadLetterFilter()).letters.map(\.id) + [4711])
      let error = await #expect(throws: RPCStatus.self) {
        try await store.requeue(.ids(ids), dryRun: dry, judge: judge)
      }
      #expect(error?.code == .notFound)
      #expect(error?.message.contains("4711") == true)
      #expect(try database.count() == 0)
      #expect(try database.count(in: "dead_letters") == 2)
    }

    @Test("a rehearsal counts and changes nothing") func dryRun() async throws {
      let database = try TestDatabase()
      try database.refuse([.valid(81), .invalid, .unreadable])
      let store = database.deadLetters()
      let before = try await store.list(DeadLetterFilter()).letters
      let count = try await store.requeue(.matching(DeadLetterFilter()), dryRun: true, judge: judge)
      #expect(count.stored == 1 && count.stillInvalid == 2)
      #expect(try await store.list(DeadLetterFilter()).letters == before)
      #expect(try database.count() == 0)
    }

    @Test("what the database refuses stays, as STORE_FAILED, and costs no other its place") func poison() async throws {
      let database = try TestDatabase()
      // 250 is outside the table's CHECK: the rules of this test let it pass.
      try database.refuse((0..<40).map { $0 == 7 || $0 == 23 ? .valid(250) : .valid(UInt8($0)) })
      let store = database.deadLetters()
      let count = try await store.requeue(.matching(DeadLetterFilter()), dryRun: false, judge: judge)
      #expect(count.stored == 38 && count.stillInvalid == 2)
      #expect(try database.count("DISTINCT temperature") == 38)
      let left = try await store.list(DeadLetterFilter()).letters
      #expect(left.map(\.reason) == ["STORE_FAILED", "STORE_FAILED"])
      #expect(left.map(\.attempts) == [2, 2])
    }

    @Test("more than a transaction takes, requeued by four at once: each is stored once")
    func concurrent() async throws {
      let database = try TestDatabase()
      try database.refuse((0..<1700).map { .valid(UInt8($0 % 200)) })
      let stores = (0..<4).map { _ in database.deadLetters() }
      let stored = try await withThrowingTaskGroup(of: Int.self) { group in
        for store in stores {
          group.addTask {
            try await store.requeue(.matching(DeadLetterFilter()), dryRun: false, judge: judge).stored
          }
        }
        return try await group.reduce(0, +)
      }
      #expect(stored == 1700)
      #expect(try database.count() == 1700)
      #expect(try database.count(in: "dead_letters") == 0)
    }

    @Test("connections that are cut in the middle, again and again: each is stored once") func cut() async throws {
      let database = try TestDatabase()
      let total = 3000
      try database.refuse((0..<total).map { .valid(UInt8($0 % 200)) })
      let store = database.deadLetters()
      let cutting = Task { () throws -> Int in
        var cuts = 0
        while !Task.isCancelled {
          try database.terminateConnections()
          cuts += 1
          // Cancelled: the loop ends.
          try? await Task.sleep(for: .milliseconds(30))
        }
        return cuts
      }
      var failures = 0
      while try database.countPatiently(in: "dead_letters") > 0 {
        do throws(RPCStatus) {
          _ = try await store.requeue(.matching(DeadLetterFilter()), dryRun: false, judge: judge)
        } catch {
          #expect(error.code == .unavailable)
          failures += 1
          // The last rounds are undisturbed, or on a slow machine it would never end.
          if failures == 30 { cutting.cancel() }
        }
      }
      cutting.cancel()
      #expect(try await cutting.value > 0)
      #expect(try database.count() == total)
    }

    @Test("a deadline that has passed changes nothing, and the connection is good for the next call")
    func deadline() async throws {
      let database = try TestDatabase()
      try database.refuse([.valid(81)])
      let store = database.deadLetters()
      let locker = try database.connect()
      try locker.execute("BEGIN; SELECT FROM dead_letters FOR UPDATE")
      let error = await #expect(throws: RPCStatus.self) {
        try await store.requeue(.matching(DeadLetterFilter()), dryRun: false, deadline: .now + .milliseconds(200),
                                judge: judge)
      }
      #expect(error?.code == .deadlineExceeded)
      try locker.execute("ROLLBACK")
      #expect(try await store.requeue(.matching(DeadLetterFilter()), dryRun: false, judge: judge).stored == 1)
    }

    // MARK: Discard

    @Test("discards what was chosen and nothing else") func discard() async throws {
      let database = try TestDatabase()
      try database.refuse([.valid(1), .valid(2)], producer: "a")
      try database.refuse([.valid(3), .valid(4)], producer: "b")
      let store = database.deadLetters()
      var filter = DeadLetterFilter()
      filter.producerID = "a"
      #expect(try await store.discard(.matching(filter)) == 2)
      let left = try await store.list(DeadLetterFilter()).letters
      #expect(left.map(\.producerID) == ["b", "b"])
      let error = await #expect(throws: RPCStatus.self) { try await store.discard(.ids([left[0].id, 4711])) }
      #expect(error?.code == .notFound)
      #expect(try database.count(in: "dead_letters") == 2)
      #expect(try await store.discard(.ids([left[0].id])) == 1)
      #expect(try await store.discard(.matching(DeadLetterFilter())) == 1)
      #expect(try await store.discard(.matching(DeadLetterFilter())) == 0)
    }

    // MARK: List

    @Test("every page size gives each once, newest first", arguments: [1, 2, 7, 1000])
    func pages(limit: Int) async throws {
      let database = try TestDatabase()
      for round in 0..<5 {
        try database.refuse((0..<6).map { .valid(UInt8(round * 6 + $0)) }, at: noon + Int64(round / 2))
      }
      let store = database.deadLetters()
      var letters: [StoredDeadLetter] = []
      var token = ""
      repeat {
        let page = try await store.list(DeadLetterFilter(), limit: limit, pageToken: token)
        #expect(page.letters.count <= limit)
        letters += page.letters
        token = page.nextPageToken
      } while !token.isEmpty
      #expect(letters.count == 30)
      #expect(Set(letters.map(\.id)).count == 30)
      #expect(letters.map(\.id) == letters.sorted { ($0.receivedAt, $0.id) > ($1.receivedAt, $1.id) }.map(\.id))
    }

    @Test("filters by producer, reason, device and time; the server's own producers show as none")
    func filters() async throws {
      let database = try TestDatabase()
      try database.refuse([.valid(1)], producer: "a", at: noon)
      try database.refuse([.valid(2)], producer: "~server-1", at: noon + second)
      try database.refuse([.valid(3)], producer: "", at: noon + 2 * second)
      let store = database.deadLetters()
      func found(_ change: (inout DeadLetterFilter) -> Void) async throws -> [UInt8] {
        var filter = DeadLetterFilter()
        change(&filter)
        return try await store.list(filter).letters.map { $0.original[1] }
      }
      #expect(try await found { _ in } == [3, 2, 1])
      #expect(try await found { $0.producerID = "a" } == [1])
      #expect(try await found { $0.producerID = "" } == [3, 2])
      #expect(try await found { $0.reason = "NO_SIGNALS" } == [3, 2, 1])
      #expect(try await found { $0.reason = "OUT_OF_RANGE" } == [])
      #expect(try await found { $0.deviceID = "D" } == [3, 2, 1])
      #expect(try await found { $0.deviceID = "E" } == [])
      #expect(try await found { $0.startTime = noon + second } == [3, 2])
      #expect(try await found { $0.endTime = noon + second } == [1])
      let letters = try await store.list(DeadLetterFilter()).letters
      #expect(letters.map(\.producerID) == ["", "", "a"])
      #expect(letters.map(\.sequence) == [1, 0, 1])
    }

    @Test("a page of large readings is cut short, and goes on") func large() async throws {
      let database = try TestDatabase()
      try database.refuse((0..<5).map { .valid(UInt8($0)) }, padding: 400_000)
      let store = database.deadLetters()
      let first = try await store.list(DeadLetterFilter())
      #expect(first.letters.map { $0.original[1] } == [4, 3])
      let second = try await store.list(DeadLetterFilter(), pageToken: first.nextPageToken)
      #expect(second.letters.map { $0.original[1] } == [2, 1])
      let last = try await store.list(DeadLetterFilter(), pageToken: second.nextPageToken)
      #expect(last.letters.map { $0.original[1] } == [0])
      #expect(last.nextPageToken == "")
      #expect(try await store.requeue(.matching(DeadLetterFilter()), dryRun: false, judge: judge).stored == 5)
    }

    @Test("bad tokens and limits are refused and say why") func badList() async throws {
      let database = try TestDatabase()
      try database.refuse([.valid(1), .valid(2)])
      let store = database.deadLetters()
      let token = try await store.list(DeadLetterFilter(), limit: 1).nextPageToken
      var other = DeadLetterFilter()
      other.reason = "NO_SIGNALS"
      for (filter, limit, text) in [
        (DeadLetterFilter(), 1, "x"), (DeadLetterFilter(), 1, String(token.dropLast())), (other, 1, token),
        (DeadLetterFilter(), 0, ""), (DeadLetterFilter(), 1001, ""), (DeadLetterFilter(), -1, ""),
      ] {
        let error = await #expect(throws: RPCStatus.self) {
          try await store.list(filter, limit: limit, pageToken: text)
        }
        #expect(error?.code == .invalidArgument)
      }
    }
  }
}
