// espctl journal inspect: what a journal's directory holds.
import ArgumentParser
import Foundation
import Journal

struct InspectJournal: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Lists a journal's segments, records, producers and damage.",
    discussion: """
      Reads only, and takes no lock: espd may be running. Records that are in the database already stay listed until \
      their segment is released. The exit code is 2 when something is damaged, 1 when the directory cannot be read.
      """)

  @Argument(help: "The journal's directory.")
  var directory: String

  @Flag(help: "Each record too, a line each, before the summary.")
  var records = false

  @Flag(help: "JSON: an object a line, the summary last.")
  var json = false

  func run() throws {
    let inspection: JournalInspection
    do {
      inspection = try JournalInspection(directory: directory) { position, record in
        guard records else { return }
        try show(RecordLine(position, record))
      }
      if json { try show(SummaryLine(inspection)) } else { printSummary(inspection) }
    } catch {
      Espctl.fail(error)
    }
    if !inspection.damages.isEmpty { throw ExitCode(2) }
  }

  private func show(_ line: some Encodable & CustomStringConvertible) throws {
    guard json else { return print(line) }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    print(String(decoding: try encoder.encode(line), as: UTF8.self))
  }

  private func printSummary(_ inspection: JournalInspection) {
    print(SummaryLine(inspection))
    for segment in inspection.segments {
      print("segment \(segment.segment): \(segment.recordCount) records from \(segment.start) to \(segment.end), "
        + "a file of \(segment.fileBytes) bytes")
    }
    for producer in inspection.producers {
      print("producer \(producer.producerID.debugDescription): \(producer.recordCount) records, "
        + "sequences \(Self.text(producer.sequences))")
    }
    for damage in inspection.damages { print("damage: \(damage)") }
    for name in inspection.keptAside { print("kept aside: \(name)") }
  }

  /// Runs of sequences that a line shows; JSON has all.
  private static let shownRuns = 10

  private static func text(_ ranges: [ClosedRange<UInt64>]) -> String {
    let shown = ranges.prefix(shownRuns).map { range in
      range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
    }
    let more = ranges.count - shown.count
    return shown.joined(separator: ", ") + (more > 0 ? " and \(more) more runs" : "")
  }
}
