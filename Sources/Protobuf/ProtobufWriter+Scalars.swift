// The scalar types once more, without generics: across modules a generic call is not specialized, and a field with
// presence then costs a look-up of its Optional's metadata (measured: a reading in 850 ns with generics only).

extension ProtobufWriter {
  package func set(_ index: Int, _ value: Bool) { put(index, value) }
  package func set(_ index: Int, _ value: Int32) { put(index, value) }
  package func set(_ index: Int, _ value: UInt32) { put(index, value) }
  package func set(_ index: Int, _ value: Int64) { put(index, value) }
  package func set(_ index: Int, _ value: UInt64) { put(index, value) }
  package func set(_ index: Int, _ value: Float) { put(index, value) }
  package func set(_ index: Int, _ value: Double) { put(index, value) }
  package func set(_ index: Int, _ value: String) { put(index, value) }

  package func set(_ index: Int, optional value: Bool?) { put(index, optional: value) }
  package func set(_ index: Int, optional value: Int32?) { put(index, optional: value) }
  package func set(_ index: Int, optional value: UInt32?) { put(index, optional: value) }
  package func set(_ index: Int, optional value: Int64?) { put(index, optional: value) }
  package func set(_ index: Int, optional value: UInt64?) { put(index, optional: value) }
  package func set(_ index: Int, optional value: Float?) { put(index, optional: value) }
  package func set(_ index: Int, optional value: Double?) { put(index, optional: value) }
  package func set(_ index: Int, optional value: String?) { put(index, optional: value) }
}
