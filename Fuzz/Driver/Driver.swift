// The program that libFuzzer drives: its main is libFuzzer's, which calls these with bytes of its own making.
import Foundation
import FuzzTargets

/// The target that ESP_FUZZ_TARGET names.
private let target: FuzzTarget = {
  let name = ProcessInfo.processInfo.environment["ESP_FUZZ_TARGET"] ?? ""
  guard let target = FuzzTarget.all.first(where: { $0.name == name }) else {
    fatalError("ESP_FUZZ_TARGET is '\(name)'; targets: \(FuzzTarget.all.map(\.name).joined(separator: " "))")
  }
  return target
}()

/// One run. A finding ends the process: libFuzzer keeps the bytes.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  do throws(FuzzFinding) {
    try target.run(unsafe [UInt8](UnsafeBufferPointer(start: bytes, count: count)))
  } catch {
    fatalError("\(target.name): \(error)")
  }
  return 0
}
