// The form that nghttp2 wants of fields that are sent again and again: made once a process, never copied by nghttp2.
internal import CNghttp2
internal import HTTPCore
internal import Synchronization

/// Names and values as nghttp2 takes them. They stay for ever: nghttp2 keeps the pointers until a frame has been sent.
@safe struct HTTP2PreparedFields: @unchecked Sendable {
  // @unchecked because what the pointer leads to is never changed.
  let pointer: UnsafePointer<nghttp2_nv>
  let count: Int

  private static let all = Mutex<[Int: HTTP2PreparedFields]>([:])

  /// The form of `fields`; a session asks once for each and then remembers it.
  static func form(of fields: PreparedFields) -> HTTP2PreparedFields {
    all.withLock { all in
      if let known = all[fields.id] { return known }
      let made = HTTP2PreparedFields(fields)
      all[fields.id] = made
      return made
    }
  }

  private init(_ prepared: PreparedFields) {
    var fields = HTTPFields()
    if prepared.status > 0 { fields.append(":status", String(prepared.status)) }
    fields.append(contentsOf: prepared.fields)
    let entries = UnsafeMutablePointer<nghttp2_nv>.allocate(capacity: max(1, fields.count))
    var index = 0
    fields.forEach { name, value in
      unsafe (entries + index).initialize(to: nghttp2_nv(
        name: Self.copy(name), value: Self.copy(value), namelen: name.count, valuelen: value.count,
        flags: UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue)))
      index += 1
    }
    unsafe pointer = UnsafePointer(entries)
    count = index
  }

  private static func copy(_ bytes: Span<UInt8>) -> UnsafeMutablePointer<UInt8> {
    let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
    for index in bytes.indices { unsafe copy[index] = bytes[index] }
    return unsafe copy
  }
}

/// What one session has asked for, by `PreparedFields.id`.
struct HTTP2PreparedForms {
  private var forms: [HTTP2PreparedFields?] = []

  subscript(fields: PreparedFields) -> HTTP2PreparedFields {
    mutating get {
      if fields.id < forms.count, let form = forms[fields.id] { return form }
      while forms.count <= fields.id { forms.append(nil) }
      let form = HTTP2PreparedFields.form(of: fields)
      forms[fields.id] = form
      return form
    }
  }
}
