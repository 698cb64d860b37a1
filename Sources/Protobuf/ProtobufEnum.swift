// An open enum, as proto3 has them.

/// An enum of the protos. Any number is a value, because a newer peer may know more of them than we do.
package protocol ProtobufEnum: ProtobufValue, RawRepresentable, Hashable where RawValue == Int32 {
  init(rawValue: Int32)
}
