/**
 * Books usage that a provider reports after the call that caused it: a response that ran in the background, the output of
 * a batch. The record was prepared when the object was made, under an id of its own, so that however many ask for the
 * object, wherever and whenever, the ledger takes one of them; it is charged to the key that made the object.
 */
import { limitsOn } from "../admission/limits-on.ts"
import { accountSubject } from "../identity/account-limit.ts"
import { countedApart } from "../identity/counted-apart.ts"
import type { ProviderObject } from "../identity/provider-object.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { recordText } from "../ledger/record-text.ts"
import { saidOfRecord } from "../ledger/said-of-record.ts"
import type { UsageRecord } from "../ledger/usage-record.ts"
import type { Admitted, Answer, Call } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import type { Booking } from "./objects-born.ts"
import { chargeLater } from "./record.ts"

/** The object whose usage the answer reports and that waits for it; null for nearly every answer. */
export function bookedNow(call: Call, admitted: Admitted, answer: Answer): ProviderObject | null {
  const { reading } = answer
  const isAskedFor = call.endpoint.object?.laterUsage != null
  const object = call.awaited ?? (isAskedFor ? admitted.object : null)
  if (object === null || object.booking === null || reading.usage === null) return null
  // Half of a batch's output is not its bill.
  return reading.isFinished && (!isAskedFor || answer.endState === "complete") ? object : null
}

/** Books what the answer reports of the object. Never throws: what fails is booked by the next who asks. */
export async function bookLater(plane: DataPlane, call: Call, object: ProviderObject, answer: Answer): Promise<void> {
  const { record } = object.booking as Booking
  // The ledger would take one of several all the same, but the metrics would count each.
  if (plane.bookings.has(record.id)) return
  plane.bookings.add(record.id)
  try {
    if (await plane.objects.isBooked(object.provider, object.id)) return
    await book(plane, { ...record }, answer, object.keyId)
    await plane.objects.takeBooking(object.provider, object.id)
  } catch (error) {
    plane.log.error({ err: error, request_id: call.id, object: object.id }, "later usage could not be booked yet")
  } finally {
    plane.bookings.delete(record.id)
  }
}

async function book(plane: DataPlane, record: UsageRecord, answer: Answer, keyId: string): Promise<void> {
  const { reading } = answer
  if (reading.usage === null) return
  const key = await plane.directory.keyById(keyId)
  if (reading.model !== "") {
    record.model_served = reading.model
    // A batch names its model only in its output.
    if (record.model_routed === "") record.model_routed = record.model_requested = reading.model
  }
  record.tier_served = reading.tier
  record.provider_cost_usd = reading.costUsd
  record.outcome = reading.hasError ? "error" : "ok"
  record.end_state = "complete"
  record.http_status = 200
  const origin = { source: "provider", estimator: "", raw: reading.usageRaw, isMismatch: reading.isMismatch } as const
  const atMs = Date.parse(record.time)
  const charging = chargeLater(plane, record, { usage: reading.usage, origin }, limitsOf(plane, record, key), atMs)
  plane.journal.end(record.id, recordText(record))
  plane.metrics.answered(record, reading.costElsewhereUsd)
  await charging
}

/** The limits of the key, and of the account that the call went to, as they are now. */
function limitsOf({ router }: DataPlane, record: UsageRecord, key: VirtualKey | null) {
  if (key === null) return { limits: [], accountLimits: [] }
  const onAccount = router.accountLimits.get(accountSubject(record.provider, record.provider_account)) ?? []
  const said = saidOfRecord(record)
  return { limits: limitsOn(key.limits, said), accountLimits: limitsOn(countedApart(onAccount, key), said) }
}
