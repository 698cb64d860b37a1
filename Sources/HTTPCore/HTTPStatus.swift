// Status codes that the server answers with.

/// An HTTP response status.
package struct HTTPStatus: Sendable, Equatable {
  package let code: Int

  package init(code: Int) { self.code = code }

  package static let ok = HTTPStatus(code: 200)
  package static let methodNotAllowed = HTTPStatus(code: 405)
  package static let unsupportedMediaType = HTTPStatus(code: 415)
}
