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
import { derivedId } from "../platform/ids.ts"
import { regionalTier } from "../pricing/region.ts"
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
  record.tier_served = regionalTier(reading.tier, reading.region)
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
  await bookOthers(plane, record, answer, key)
}

/**
 * Books what other models used on the way of an answer: a record for each, beside that of the call. Their ids follow from
 * the call's, so that however often they are written down, the ledger takes each once.
 */
export async function bookOthers(
  plane: DataPlane,
  call: UsageRecord,
  { reading, isDrained }: Answer,
  key: VirtualKey | null,
): Promise<void> {
  for (const [index, { model, usage, raw }] of reading.others.entries()) {
    const record: UsageRecord = {
      ...call,
      id: derivedId(call.id, `other ${index}`),
      model_routed: model,
      model_served: model,
      provider_cost_usd: null,
      attempts: [],
      request_bytes: 0,
      response_bytes: 0,
    }
    const origin = { source: isDrained ? "drained" : "provider", estimator: "", raw, isMismatch: false } as const
    const charging = chargeLater(plane, record, { usage, origin }, limitsOf(plane, record, key), Date.parse(call.time))
    plane.journal.end(record.id, recordText(record))
    plane.metrics.answered(record, null)
    await charging
  }
}

/** The limits of the key, and of the account that the call went to, as they are now. */
function limitsOf({ router }: DataPlane, record: UsageRecord, key: VirtualKey | null) {
  if (key === null) return { limits: [], accountLimits: [] }
  const onAccount = router.accountLimits.get(accountSubject(record.provider, record.provider_account)) ?? []
  const said = saidOfRecord(record)
  return { limits: limitsOn(key.limits, said), accountLimits: limitsOn(countedApart(onAccount, key), said) }
}
