// DeadLetterService.RequeueDeadLetters: judges again, and stores what is valid now.
package import Contracts
internal import PostgresStore
package import RPC
package import Status

extension DeadLetterService {
  package func requeueDeadLetters(
    _ request: ESPV1.RequeueDeadLettersRequest, context: CallContext
  ) async throws(RPCStatus) -> ESPV1.RequeueDeadLettersResponse {
    let selection = try DeadLetterSelection(id: request.id, filter: request.filter, all: request.all)
    let count = try await store.requeue(selection, dryRun: request.dryRun, deadline: context.deadline, judge: judge)
    var response = ESPV1.RequeueDeadLettersResponse()
    response.stored = UInt64(count.stored)
    response.stillInvalid = UInt64(count.stillInvalid)
    return response
  }
}
