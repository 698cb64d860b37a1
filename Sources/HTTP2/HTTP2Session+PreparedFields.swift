// The form that nghttp2 wants of fields that are sent again and again: made once a loop, never copied by nghttp2.
internal import CNghttp2
internal import HTTPCore

/// Names and values of all `PreparedFields` that a loop has sent. Confined to the loop; shared by its sessions.
@safe final class HTTP2PreparedFields {
  /// What one of them became. Lives as long as the process: nghttp2 keeps pointers until a frame has been sent.
  @safe struct Entry {
    let pointer: UnsafePointer<nghttp2_nv>
    let count: Int
  }

  private var entries: [Entry?] = []

  subscript(fields: PreparedFields) -> Entry {
    if fields.id < entries.count, let entry = entries[fields.id] { return entry }
    return add(fields)
  }

  private func add(_ prepared: PreparedFields) -> Entry {
    var all = HTTPFields()
    if prepared.status > 0 { all.append(":status", String(prepared.status)) }
    all.append(contentsOf: prepared.fields)
    let nvs = UnsafeMutablePointer<nghttp2_nv>.allocate(capacity: max(1, all.count))
    var index = 0
    all.forEach { name, value in
      unsafe (nvs + index).initialize(to: nghttp2_nv(
        name: Self.copy(name), value: Self.copy(value), namelen: name.count, valuelen: value.count,
        flags: UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue)))
      index += 1
    }
    let entry = unsafe Entry(pointer: nvs, count: index)
    while entries.count <= prepared.id { entries.append(nil) }
    entries[prepared.id] = entry
    return entry
  }

  private static func copy(_ bytes: Span<UInt8>) -> UnsafeMutablePointer<UInt8> {
    let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
    for index in bytes.indices { unsafe copy[index] = bytes[index] }
    return unsafe copy
  }
}
