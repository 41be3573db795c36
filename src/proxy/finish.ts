/**
 * The one way out of a call. What was held is settled by what was used, or released where nothing was forwarded; the
 * record goes to the journal; the caller gets the refusal, if it is one; the call is counted.
 */
import { recordText } from "../ledger/record-text.ts"
import { estimatedUsage, reportedUsage } from "./answer-usage.ts"
import { bookedNow, bookLater } from "./book-later.ts"
import type { Admitted, Answer, Call, Ending } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import { adoptUnowned, enterContainers } from "./objects-born.ts"
import { completeRecord } from "./record.ts"
import { refuse } from "./refuse.ts"

export async function finish(plane: DataPlane, call: Call, ending: Ending): Promise<void> {
  if (ending.kind === "answered" && call.admitted !== null) {
    if (ending.answer.error !== null) refuse(call, ending.answer.error)
    await settle(plane, call, call.admitted, ending.answer)
    return
  }
  if (call.admitted !== null) await giveBack(plane, call, call.admitted)
  if (ending.kind === "refused") {
    refuse(call, ending.error)
    plane.metrics.refused(ending.error, ending.reason)
  }
}

async function settle(plane: DataPlane, call: Call, admitted: Admitted, answer: Answer): Promise<void> {
  const used = reportedUsage(call, admitted, answer) ?? (await estimatedUsage(plane, admitted, answer))
  const actual = completeRecord(plane, call, admitted, answer, used)
  const settling = plane.admission.settle(admitted.held, actual)
  plane.journal.end(call.id, recordText(admitted.record, admitted.subject))
  plane.metrics.answered(admitted.record)
  if (answer.errorCode === "upstream_auth_failed") {
    plane.log.error({ request_id: call.id, provider: admitted.record.provider }, "the provider refused our credential")
  }
  if (call.unowned.length > 0 && answer.upstreamStatus < 300) await adoptUnowned(plane, admitted, call.unowned)
  const { containers } = answer.reading
  if (containers.length > 0) await enterContainers(plane, call, admitted, containers)
  await settling
  const object = bookedNow(call, admitted, answer)
  if (object !== null) await bookLater(plane, call, object, answer)
}

/** Admitted, but never forwarded: as if the call had not been. */
async function giveBack(plane: DataPlane, call: Call, admitted: Admitted): Promise<void> {
  plane.journal.drop(call.id)
  await plane.admission.release(admitted.held)
}
