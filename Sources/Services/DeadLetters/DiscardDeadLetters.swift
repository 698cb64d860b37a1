// DeadLetterService.DiscardDeadLetters: deletes for good.
package import Contracts
internal import PostgresStore
package import RPC
package import Status

extension DeadLetterService {
  package func discardDeadLetters(
    _ request: ESPV1.DiscardDeadLettersRequest, context: CallContext
  ) async throws(RPCStatus) -> ESPV1.DiscardDeadLettersResponse {
    let selection = try DeadLetterSelection(id: request.id, filter: request.filter, all: request.all)
    var response = ESPV1.DiscardDeadLettersResponse()
    response.discarded = UInt64(try await store.discard(selection, deadline: context.deadline))
    return response
  }
}
