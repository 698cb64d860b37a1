// The names of the targets, for scripts: libFuzzer asks this before anything else.
import Foundation
import FuzzTargets

/// With ESP_FUZZ_LIST set, prints the names of all targets, one a line, and ends.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_ count: UnsafePointer<CInt>?, _ arguments: OpaquePointer?) -> CInt {
  guard ProcessInfo.processInfo.environment["ESP_FUZZ_LIST"] != nil else { return 0 }
  for target in FuzzTarget.all { print(target.name) }
  exit(0)
}
