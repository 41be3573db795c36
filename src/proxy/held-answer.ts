/**
 * Answers that are held until they are whole, and why: a short JSON answer says what it cost in a header; what makes an
 * object waits until its owner is entered; a list is shown with its key's own objects only. All others flow.
 */
import { filterList, idsInList } from "../providers/object-list.ts"
import type { ResponseHead } from "../providers/upstream-headers.ts"
import type { Admitted, Call } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import { fetchPage } from "./fetch-page.ts"
import { enterBorn } from "./objects-born.ts"
import { costHeaders } from "./quote.ts"
import type { Held, HeldAnswers } from "./relay.ts"

/** A JSON answer of at most this length says what it cost. */
const COSTED_BYTES_MAX = 256 * 1024
/** Longest answer about objects: a page of ten thousand files has some megabytes. */
const OBJECT_BYTES_MAX = 16 * 1024 * 1024
/** Pages of other keys' objects that are passed over in search of one with an own object. */
const PAGES_MAX = 20

export function heldAnswers(plane: DataPlane, call: Call, admitted: Admitted): HeldAnswers {
  const { object } = call.endpoint
  const isList = object?.act === "list"
  const isAboutObjects =
    object !== null && (object.act !== "use" || object.kind === "batch" || object.kind === "upload")
  return {
    // Whatever form a list comes in: nobody but its owner is to see an object.
    isRequired: isList,
    bytesMax: (status, head) => {
      if (status >= 300) return 0
      if (isList) return OBJECT_BYTES_MAX
      if (isAboutObjects) return isJson(head) ? OBJECT_BYTES_MAX : 0
      return isCosted(head) && !admitted.facts.isFree ? COSTED_BYTES_MAX : 0
    },
    finish: (_status, body, reading): Held | Promise<Held> => {
      const headers = costHeaders(plane, call, admitted, reading)
      if (!isAboutObjects) return { headers, body }
      return finishObjects(plane, call, admitted, body).then((shown) =>
        enterBorn(plane, call, admitted, body, reading).then(() => ({ headers, body: shown })),
      )
    },
  }
}

function isCosted(head: ResponseHead): boolean {
  return head.contentLength !== null && head.contentLength <= COSTED_BYTES_MAX && isJson(head)
}

function isJson({ contentType, contentEncoding }: ResponseHead): boolean {
  return contentType.startsWith("application/json") && (contentEncoding === "" || contentEncoding === "identity")
}

async function finishObjects(plane: DataPlane, call: Call, admitted: Admitted, body: Buffer): Promise<Buffer> {
  const { provider } = admitted.route
  const act = call.endpoint.object?.act
  if (act === "delete" && admitted.object !== null) {
    // The provider has deleted it already: a row that stays gives nobody anything.
    await plane.objects.forget(provider.name, admitted.object.id).catch((error: unknown) => {
      plane.log.warn({ err: error, object: admitted.object?.id }, "a deleted object is still entered")
    })
  }
  return act === "list" ? ownList(plane, call, admitted, body) : body
}

/** SDKs stop at an empty page, so pages without an own object are passed over. */
async function ownList(plane: DataPlane, call: Call, admitted: Admitted, body: Buffer): Promise<Buffer> {
  const { key } = call
  if (key === null) throw new Error("A list is asked for by a key.")
  let page = body
  for (let pages = 1; ; pages++) {
    const own = await plane.objects.owned(
      key,
      plane.objectPolicy.sharedBy,
      admitted.route.provider.name,
      idsInList(page),
    )
    const filtered = filterList(page, (id) => own.has(id))
    if (filtered === null)
      throw new Error("The provider's list cannot be read, so nobody can say whose its objects are.")
    const isLast = filtered.shown > 0 || !filtered.hasMore || filtered.lastId === null || pages === PAGES_MAX
    if (isLast || filtered.lastId === null) return filtered.body
    page = await fetchPage(plane, call, admitted, filtered.lastId)
  }
}
