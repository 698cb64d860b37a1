// Gives back the pages of program and libraries that only the start has touched.
import Foundation
import Glibc

/// Most of what an idle server has resident is code: 34 of 37 MiB were pages of the program and its libraries
/// (Foundation and its ICU, Swift's runtime, libcrypto, what libpq brings), touched once by the dynamic linker, by
/// settings and by migrations. The kernel keeps them mapped until it is short of memory, and counts them as ours.
enum StartUpPages {
  /// Unmaps the pages of files that are mapped for reading or running and were never written to. Nothing is lost: a
  /// page that is used again is mapped again, from the page cache, for about a microsecond.
  static func release() {
    for range in ranges(in: mappings()) {
      guard let start = unsafe UnsafeMutableRawPointer(bitPattern: range.lowerBound) else { continue }
      // EINVAL for a mapping that has gone meanwhile: nothing to give back.
      _ = unsafe madvise(start, range.count, Int32(MADV_DONTNEED))
    }
  }

  /// Piece by piece: the kernel says no size, and a whole-file read ended after the first page. Empty
  /// without /proc, as in a sandbox: then nothing is given back.
  private static func mappings() -> String {
    guard let file = FileHandle(forReadingAtPath: "/proc/self/smaps") else { return "" }
    var text = Data()
    // An error is the end of what can be known.
    while let piece = try? file.read(upToCount: 4096), !piece.isEmpty { text += piece }
    return String(decoding: text, as: UTF8.self)
  }

  /// Mappings of files, private, not writable, and without a page that differs from its file: relocated tables do, and
  /// would lose what the linker wrote.
  static func ranges(in smaps: String) -> [Range<UInt>] {
    var ranges: [Range<UInt>] = []
    var candidate: Range<UInt>?
    for line in smaps.split(separator: "\n") {
      let words = line.split(separator: " ", omittingEmptySubsequences: true)
      guard let first = words.first else { continue }
      if !first.hasSuffix(":") {
        candidate = range(first, words)
      } else if first == "Anonymous:" {
        if let range = candidate, words[1] == "0" { ranges.append(range) }
        candidate = nil
      }
    }
    return ranges
  }

  /// The range of a mapping's head line: `from-to permissions offset device inode path`.
  private static func range(_ first: Substring, _ words: [Substring]) -> Range<UInt>? {
    guard words.count >= 6, words[1].hasSuffix("p"), !words[1].contains("w"), words[4] != "0" else { return nil }
    let ends = first.split(separator: "-").compactMap { UInt($0, radix: 16) }
    return ends.count == 2 && ends[0] < ends[1] ? ends[0]..<ends[1] : nil
  }
}
