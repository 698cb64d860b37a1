// Which frames end a connection though nghttp2 would ignore them; the bytes whole, and cut anywhere.
import HTTP2
import Testing

@Suite("Frame watch") struct FrameWatchTests {
  static let data: UInt8 = 0, headers: UInt8 = 1, priority: UInt8 = 2, reset: UInt8 = 3, windowUpdate: UInt8 = 8
  static let endStream: UInt8 = 1
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  static func frame(_ type: UInt8, _ flags: UInt8, _ id: UInt8, payloadBytes: UInt8 = 0) -> [UInt8] {
    [0, 0, payloadBytes, type, flags, 0, 0, 0, id] + Array(repeating: 0xff, count: Int(payloadBytes))
  }

  struct Case: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let frames: [[UInt8]]
    let violation: FrameWatch.Violation?

    init(_ description: String, _ violation: FrameWatch.Violation?, _ frames: [UInt8]...) {
      testDescription = description
      self.violation = violation
      self.frames = frames
    }
  }

  static let cases = [
    Case("a request and its body", nil, frame(headers, 4, 1, payloadBytes: 7), frame(data, endStream, 1)),
    Case("trailers", nil, frame(headers, 4, 1), frame(data, 0, 1), frame(headers, endStream, 1)),
    Case("DATA behind END_STREAM", .streamClosed, frame(headers, endStream, 1, payloadBytes: 30), frame(data, 0, 1)),
    Case("HEADERS behind END_STREAM", .streamClosed, frame(headers, endStream, 1), frame(headers, 4, 1)),
    Case("DATA behind RST_STREAM", .streamClosed,
         frame(headers, 4, 1), frame(reset, 0, 1, payloadBytes: 4), frame(data, 0, 1)),
    Case("WINDOW_UPDATE and RST_STREAM behind END_STREAM", nil, frame(headers, endStream, 1),
         frame(windowUpdate, 0, 1, payloadBytes: 4), frame(reset, 0, 1, payloadBytes: 4)),
    Case("DATA of another stream behind END_STREAM", nil,
         frame(headers, 4, 1), frame(headers, endStream, 3), frame(data, 0, 1)),
    Case("an id that was passed over", .protocolError, frame(headers, 4, 5), frame(headers, 4, 3)),
    Case("ids left out", nil, frame(headers, 4, 5), frame(headers, 4, 9), frame(data, 0, 5)),
    Case("PRIORITY on stream 0", .protocolError, frame(priority, 0, 0, payloadBytes: 5)),
    Case("PRIORITY elsewhere", nil, frame(priority, 0, 9, payloadBytes: 5)),
    Case("frames of stream 0, which nghttp2 judges", nil, frame(data, 0, 0), frame(headers, 4, 0)),
  ]

  static func violation(_ watch: inout FrameWatch, _ bytes: [UInt8]) -> FrameWatch.Violation? {
    watch.firstViolation(in: bytes.span)?.violation
  }

  @Test("Whole or cut at any byte, the verdict is the same", arguments: cases)
  func verdicts(wanted: Case) {
    let bytes = Self.preface + wanted.frames.joined()
    for cut in 0...bytes.count {
      var watch = FrameWatch()
      let found = Self.violation(&watch, Array(bytes[..<cut])) ?? Self.violation(&watch, Array(bytes[cut...]))
      #expect(found == wanted.violation, "cut at \(cut)")
    }
    var watch = FrameWatch()
    var found: FrameWatch.Violation?
    for byte in bytes where found == nil { found = Self.violation(&watch, [byte]) }
    #expect(found == wanted.violation, "byte by byte")
  }

  @Test("What comes in front of the violation is still to be served")
  func offset() {
    let good = Self.preface + Self.frame(Self.headers, Self.endStream, 1, payloadBytes: 9)
    var watch = FrameWatch()
    let bytes = good + Self.frame(Self.data, 0, 1, payloadBytes: 5)
    let found = watch.firstViolation(in: bytes.span)
    #expect(found?.offset == good.count + 9)
  }

  @Test("A frame on a stream that ended long ago is not found") func forgotten() {
    var watch = FrameWatch()
    var bytes = Self.preface
    for id in stride(from: UInt8(1), through: 35, by: 2) { bytes += Self.frame(Self.headers, Self.endStream, id) }
    let fromOpening = Self.violation(&watch, bytes)
    // Eighteen have ended; the last sixteen are those from 5 on.
    let onForgotten = Self.violation(&watch, Self.frame(Self.data, 0, 3))
    let onRemembered = Self.violation(&watch, Self.frame(Self.data, 0, 5))
    #expect(fromOpening == nil && onForgotten == nil && onRemembered == .streamClosed)
  }
}
