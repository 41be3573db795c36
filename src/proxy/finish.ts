/**
 * The one way out of a call. What was held is settled by what was used, or released where nothing was forwarded; the
 * record goes to the journal; the caller gets the refusal, if it is one; the call is counted.
 */
import type { CallActual } from "../admission/limits.ts"
import { recordText } from "../ledger/record-text.ts"
import { estimatedUsage, reportedUsage } from "./answer-usage.ts"
import { bookedNow, bookLater, bookOthers } from "./book-later.ts"
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
    if (call.key !== null) plane.refusals.add(call.key, ending.error.code, call.arrivedMs)
  }
}

async function settle(plane: DataPlane, call: Call, admitted: Admitted, answer: Answer): Promise<void> {
  const used = reportedUsage(call, admitted, answer) ?? (await estimatedUsage(plane, admitted, answer))
  // With the limits that came up while the call ran.
  const held = plane.seeding.grown(admitted.held, admitted.record)
  const actual = completeRecord(plane, call, { record: admitted.record, held }, answer, used)
  const settling = plane.admission.settle(held, actual)
  plane.journal.end(call.id, recordText(admitted.record, admitted.subject))
  plane.metrics.answered(admitted.record, answer.reading.costElsewhereUsd)
  if (isBeyond(admitted, actual)) reportBeyond(plane, call, admitted, actual)
  if (answer.errorCode === "upstream_auth_failed") {
    plane.log.error({ request_id: call.id, provider: admitted.record.provider }, "the provider refused our credential")
  }
  if (call.unowned.length > 0 && answer.upstreamStatus < 300) await adoptUnowned(plane, admitted, call.unowned)
  const { containers } = answer.reading
  if (containers.length > 0) await enterContainers(plane, call, admitted, containers)
  await settling
  if (answer.reading.others.length > 0 && used.origin.source !== "none") {
    await bookOthers(plane, admitted.record, answer, call.key)
  }
  const object = bookedNow(call, admitted, answer)
  if (object !== null) await bookLater(plane, call, object, answer)
}

/** Whether the provider reports more than the call could use. An estimate of ours says nothing about that. */
function isBeyond({ most, record }: Admitted, { tokens, costNanos }: CallActual): boolean {
  if (most === null || (record.usage_source !== "provider" && record.usage_source !== "drained")) return false
  // Without a limit on money the most was not worked out in money.
  return tokens > most.tokensBound || (most.costNanosBound > 0n && costNanos > most.costNanosBound)
}

function reportBeyond(
  plane: DataPlane,
  call: Call,
  { most, record }: Admitted,
  { tokens, costNanos }: CallActual,
): void {
  plane.metrics.boundViolated()
  const held = { tokens: most?.tokensBound.toString(), nano_usd: most?.costNanosBound.toString() }
  const used = { tokens: tokens.toString(), nano_usd: costNanos.toString() }
  const { provider, model_served, dialect } = record
  plane.log.error(
    { request_id: call.id, provider, model_served, dialect, held, used },
    "a bounded call used more than was held",
  )
}

/** Admitted, but never forwarded: as if the call had not been. */
async function giveBack(plane: DataPlane, call: Call, admitted: Admitted): Promise<void> {
  plane.journal.drop(call.id)
  await plane.admission.release(admitted.held)
}
