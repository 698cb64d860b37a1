// DeadLetterService.ListDeadLetters: what was quarantined, in pages.
package import Contracts
internal import PostgresStore
internal import Protobuf
package import RPC
package import Status

extension DeadLetterService {
  package func listDeadLetters(
    _ request: ESPV1.ListDeadLettersRequest, context: CallContext
  ) async throws(RPCStatus) -> ESPV1.ListDeadLettersResponse {
    var filter = ESPV1.DeadLetterFilter()
    filter.producerID = request.producerID
    filter.reason = request.reason
    filter.deviceID = request.deviceID
    filter.startTime = request.startTime
    filter.endTime = request.endTime
    let limit = request.limit == 0 ? DeadLetterStore.defaultLimit : Int(request.limit)
    let page = try await store.list(try DeadLetterFilter(filter), limit: limit, pageToken: request.pageToken,
                                    deadline: context.deadline)
    var response = ESPV1.ListDeadLettersResponse()
    response.deadLetters = page.letters.map { ESPV1.DeadLetter($0, includeOriginal: request.includeOriginal) }
    response.nextPageToken = page.nextPageToken
    return response
  }
}

extension ESPV1.DeadLetter {
  init(_ letter: StoredDeadLetter, includeOriginal: Bool) {
    self.init()
    id = letter.id
    reason = letter.reason
    field = letter.field
    deviceID = letter.deviceID
    readingTimestamp = letter.readingTimestamp.map { GoogleProtobuf.Timestamp(microseconds: $0) }
    producerID = letter.producerID
    sequence = letter.sequence
    principal = letter.principal
    receivedTime = GoogleProtobuf.Timestamp(microseconds: letter.receivedAt)
    lastAttemptTime = GoogleProtobuf.Timestamp(microseconds: letter.lastAttemptAt)
    attempts = letter.attempts
    // Bytes that are no Reading any more: the letter has them still.
    reading = try? ESPV1.Reading(serialized: letter.original.span)
    if includeOriginal { original = letter.original }
  }
}
