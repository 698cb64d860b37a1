// Every generated message against the Python protobuf runtime, all fields set.
import Contracts
import Protobuf
import Testing

@Suite("Generated messages") struct MessageVectorTests {
  @Test("a message encodes to the bytes of the Python runtime", arguments: MessageVector.all)
  func encodes(vector: MessageVector) {
    #expect(vector.encode() == vector.bytes)
  }

  @Test("the bytes of the Python runtime decode to the same message", arguments: MessageVector.all)
  func decodes(vector: MessageVector) throws {
    #expect(try vector.decodes(vector.bytes))
  }

  @Test("no bytes at all are a message with nothing set", arguments: MessageVector.all)
  func empty(vector: MessageVector) throws {
    #expect(try vector.recode([]) == [])
  }

  @Test("input cut at any byte is refused or read, and never ends the process", arguments: MessageVector.all)
  func truncated(vector: MessageVector) {
    for length in vector.bytes.indices {
      let result = Result { try vector.recode(Array(vector.bytes.prefix(length))) }
      if case .failure(let error) = result { #expect(error is ProtobufError) }
    }
  }

  @Test("input with any byte changed is refused or read, and what was read can be written and read again",
        arguments: MessageVector.all)
  func changed(vector: MessageVector) throws {
    for position in vector.bytes.indices {
      for change: UInt8 in [0x01, 0x7f, 0x80, 0xff] {
        var bytes = vector.bytes
        bytes[position] ^= change
        guard let once = try? vector.recode(bytes) else { continue }
        #expect(try vector.recode(once) == once)
      }
    }
  }
}
