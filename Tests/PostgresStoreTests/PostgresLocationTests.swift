// Addresses: understood as libpq does, and never shown with their password.
import PostgresStore
import Testing

extension DatabaseTests {
  @Suite("Database address") struct PostgresLocationTests {
    @Test("a URL and key=value pairs are both understood", arguments: [
      "postgres://ann:secret@db.example:6432/esp", "host=db.example port=6432 user=ann password=secret dbname=esp",
    ])
    func parsed(text: String) throws {
      let location = try PostgresLocation(text)
      #expect(location.description == "PostgreSQL at db.example, port 6432, database 'esp'")
      #expect(location.user == "ann")
    }

    @Test("the password is in no description and in no error", arguments: [
      "postgres://ann:secret@127.0.0.1:1/esp", "postgre://ann:secret@127.0.0.1:1/esp", "password=secret port",
      "postgres://ann:secret@[::1/esp", "postgres://ann:secret@127.0.0.1:port/esp",
    ])
    func secret(text: String) {
      do throws(PostgresError) {
        let location = try PostgresLocation(text)
        #expect(!location.description.contains("secret"))
        _ = try PostgresConnection(location, logger: TestServer.logger)
        #expect(Bool(false), "there is no such server")
      } catch {
        #expect(!error.description.contains("secret"))
      }
    }

    @Test("a server that cannot be reached is named with host and port") func unreachable() throws {
      let error = #expect(throws: PostgresError.self) {
        try PostgresLocation("postgres://ann:secret@127.0.0.1:1/esp").checkReachable(logger: TestServer.logger)
      }
      #expect(error?.kind == .connectionLost)
      #expect(error?.message.hasPrefix("PostgreSQL at 127.0.0.1, port 1, database 'esp' cannot be used: ") == true)
      #expect(error?.description.contains("secret") == false)
    }
  }
}
