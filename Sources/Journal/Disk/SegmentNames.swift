// What the journal's files are called.

/// `0000000000000001.segment`: segment 1, in hexadecimal, so that names sort as segments do.
struct SegmentNames: Sendable {
  let directory: String

  var lock: String { directory + "/lock" }

  func segment(_ segment: UInt64) -> String { path(segment, "segment") }

  /// A file whose records are not needed any more, or that never had any.
  func spare(_ number: UInt64) -> String { path(number, "spare") }

  /// A spare file that is not yet as long as it will be.
  func making(_ number: UInt64) -> String { path(number, "making") }

  /// Bytes that could not be read as records.
  func damaged(_ damage: JournalDamage) -> String {
    path(damage.position.segment, "\(damage.position.offset).damaged")
  }

  struct Listing {
    var segments: [UInt64] = []
    var spares: [UInt64] = []
    var making: [UInt64] = []
  }

  /// All segments in order.
  func list() throws(DiskError) -> Listing {
    var listing = Listing()
    for name in try Disk.names(in: directory).sorted() {
      let parts = name.split(separator: ".", omittingEmptySubsequences: false)
      guard parts.count == 2, parts[0].utf8.count == 16, let number = UInt64(parts[0], radix: 16) else { continue }
      switch parts[1] {
      case "segment": listing.segments.append(number)
      case "spare": listing.spares.append(number)
      case "making": listing.making.append(number)
      default: continue
      }
    }
    return listing
  }

  private func path(_ number: UInt64, _ kind: String) -> String {
    let digits = String(number, radix: 16)
    return "\(directory)/\(String(repeating: "0", count: 16 - digits.utf8.count))\(digits).\(kind)"
  }
}
