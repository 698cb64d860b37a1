// What can go wrong with TLS, in words.

/// Files that can't be used, or a peer that can't be talked to.
package struct TLSError: Error, CustomStringConvertible {
  package let description: String

  init(_ description: String) { self.description = description }
}
