// The scalar types once more, without generics (why: ProtobufWriter+Scalars.swift).

extension ProtobufReader {
  package func value(_ index: Int) throws(ProtobufError) -> Bool { try get(index) }
  package func value(_ index: Int) throws(ProtobufError) -> Int32 { try get(index) }
  package func value(_ index: Int) throws(ProtobufError) -> UInt32 { try get(index) }
  package func value(_ index: Int) throws(ProtobufError) -> Int64 { try get(index) }
  package func value(_ index: Int) throws(ProtobufError) -> UInt64 { try get(index) }
  package func value(_ index: Int) throws(ProtobufError) -> Float { try get(index) }
  package func value(_ index: Int) throws(ProtobufError) -> Double { try get(index) }
  package func value(_ index: Int) throws(ProtobufError) -> String { try get(index) }

  package func optional(_ index: Int) throws(ProtobufError) -> Bool? { try getOptional(index) }
  package func optional(_ index: Int) throws(ProtobufError) -> Int32? { try getOptional(index) }
  package func optional(_ index: Int) throws(ProtobufError) -> UInt32? { try getOptional(index) }
  package func optional(_ index: Int) throws(ProtobufError) -> Int64? { try getOptional(index) }
  package func optional(_ index: Int) throws(ProtobufError) -> UInt64? { try getOptional(index) }
  package func optional(_ index: Int) throws(ProtobufError) -> Float? { try getOptional(index) }
  package func optional(_ index: Int) throws(ProtobufError) -> Double? { try getOptional(index) }
  package func optional(_ index: Int) throws(ProtobufError) -> String? { try getOptional(index) }
}
