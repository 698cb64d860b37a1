// What a method's option says: its route, who may call it, what is audited, how it is decoded.

/// The option `(esp.options.v1.rule)` of a method. `proto/generate.sh` refuses a method of esp.v1 that has none, or
/// whose rule names no permission.
package typealias MethodRule = ESPOptionsV1.MethodRule

extension MethodRule {
  /// The permission of a method that anybody may call.
  package static let publicPermission = "public"

  package var isPublic: Bool { permission == Self.publicPermission }
}
