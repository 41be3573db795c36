/** Enters what calls make at a provider for the key that made it, before its id reaches the caller where that can be. */
import type { ProviderObject } from "../identity/provider-object.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import type { UsageRecord } from "../ledger/usage-record.ts"
import type { Reading } from "../providers/dialect.ts"
import { bornFiles, uploadedFile } from "../providers/openai-batch.ts"
import type { Admitted, Call } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import { newObject } from "./route-object.ts"

/** How long an answer waits for its object to be entered; then it goes, and entering is tried on. */
const ENTER_MS_MAX = 2_000

/** The record that a call becomes later, under an id of its own: kept with the object that it waits for. */
export type Booking = { readonly record: UsageRecord }

/**
 * Told the id of what a streamed answer makes; null where it makes nothing. What runs in the background may outlast its
 * stream, so its usage is booked with the object, whether this stream brings it or a later question.
 */
export function enterNamed(
  plane: DataPlane,
  call: Call,
  admitted: Admitted,
): ((id: string, reading: Reading) => void) | null {
  const { endpoint } = call
  if (endpoint.object?.act !== "create" || !admitted.facts.isStream) return null
  return (id, reading) => {
    const object = bornOf(plane, call, admitted, id, reading.isPending)
    if (reading.isPending) call.awaited = object
    void enter(plane, [object])
  }
}

/** Enters what a whole answer makes: its own object, the files of a finished batch, the file of an upload. */
export async function enterBorn(
  plane: DataPlane,
  call: Call,
  admitted: Admitted,
  body: Buffer,
  reading: Reading,
): Promise<void> {
  const { endpoint } = call
  const { object } = endpoint
  if (object === null || call.key === null) return
  const born: ProviderObject[] = []
  if (object.act === "create" && reading.responseId !== "") {
    const isAwaited = reading.isPending || object.kind === "batch" || object.kind === "message_batch"
    born.push(bornOf(plane, call, admitted, reading.responseId, isAwaited))
  }
  if (object.kind === "batch") born.push(...(await filesOfBatches(plane, call, call.key, admitted, body)))
  if (object.kind === "upload") {
    const file = uploadedFile(body)
    if (file !== null) born.push(newObject(call, call.key, bornAt(admitted), "file", file))
  }
  await enter(plane, born)
}

/** Containers that a provider made while it answered a call of a model: the key's, to look into and to go on with. */
export async function enterContainers(
  plane: DataPlane,
  call: Call,
  admitted: Admitted,
  ids: readonly string[],
): Promise<void> {
  const { key } = call
  if (key === null) return
  await enter(
    plane,
    ids.map((id) => newObject(call, key, bornAt(admitted), "container", id)),
  )
}

/** Gives objects that nobody made here to the key that named them, now that the provider has answered; the first one wins. */
export async function adoptUnowned(
  plane: DataPlane,
  { account }: Admitted,
  unowned: readonly ProviderObject[],
): Promise<void> {
  await enter(
    plane,
    unowned.map((object) => ({ ...object, account: account.name })),
  )
}

/** The answer of a response in OpenAI's API is not held up: its id is known here at once, and everywhere in a moment. */
async function enter(plane: DataPlane, born: readonly ProviderObject[]): Promise<void> {
  const entering = born.map((object) =>
    plane.objects.register(object).catch((error: unknown) => {
      plane.log.error({ err: error, provider: object.provider, object: object.id }, "an object has no owner")
    }),
  )
  const isWaitedFor = born.some(({ kind }) => kind !== "response")
  if (!isWaitedFor) return
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ENTER_MS_MAX)
  })
  await Promise.race([Promise.all(entering), late])
  clearTimeout(timer)
}

function bornOf(plane: DataPlane, call: Call, admitted: Admitted, id: string, isAwaited: boolean): ProviderObject {
  const { key, endpoint } = call
  const { object } = endpoint
  if (key === null || object === null)
    throw new Error("An object is born by a call with a key, at an endpoint that makes some.")
  const booking: Booking | null = isAwaited
    ? { record: { ...admitted.record, id: plane.mintId(call.arrivedMs), provider_response_id: id } }
    : null
  return newObject(call, key, bornAt(admitted), object.kind, id, booking)
}

function bornAt({ route, account }: Admitted) {
  return { provider: route.provider, account }
}

/** Files that a batch's answer names belong to whom the batch belongs to; its output holds the usage that it waits for. */
async function filesOfBatches(
  plane: DataPlane,
  call: Call,
  key: VirtualKey,
  admitted: Admitted,
  body: Buffer,
): Promise<ProviderObject[]> {
  const { provider } = admitted.route
  const named = bornFiles(body).filter(({ outputFileId, errorFileId }) => outputFileId !== null || errorFileId !== null)
  if (named.length === 0) return []
  const batches = await plane.objects.find(
    provider.name,
    named.map(({ batchId }) => batchId),
  )
  return named.flatMap(({ batchId, outputFileId, errorFileId }) => {
    const batch = batches.get(batchId)
    if (batch === undefined) return []
    const file = (id: string, booking: unknown): ProviderObject => ({
      ...newObject(call, key, bornAt(admitted), "file", id, booking),
      account: batch.account,
      organizationId: batch.organizationId,
      projectId: batch.projectId,
      keyId: batch.keyId,
      callId: batch.callId,
    })
    const files: ProviderObject[] = []
    if (outputFileId !== null) files.push(file(outputFileId, batch.booking))
    if (errorFileId !== null) files.push(file(errorFileId, null))
    return files
  })
}
