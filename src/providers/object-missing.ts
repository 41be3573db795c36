/**
 * What a provider answers for an object that does not exist. A caller that names another's object gets the same, so
 * that it cannot tell the two apart.
 */
import type { ProviderObjectKind } from "../identity/provider-object.ts"
import type { Api } from "./dialect.ts"

const ID_LENGTH_SHOWN_MAX = 100

export type MissingObject = { readonly status: number; readonly body: object }

/** The provider's own answer; kind null where the id alone is known (a reference in a body): its beginning tells. */
export function missingObject(api: Api, kind: ProviderObjectKind | null, id: string): MissingObject {
  const shown = id.slice(0, ID_LENGTH_SHOWN_MAX).toWellFormed()
  const what = kind ?? kindOf(id)
  if (api === "anthropic") return anthropicMissing(what, shown)
  return api === "google" ? googleMissing(what, shown) : openaiMissing(what, shown)
}

const BEGINNINGS: readonly (readonly [string, ProviderObjectKind])[] = [
  ["resp_", "response"],
  ["conv_", "conversation"],
  ["vs_", "vector_store"],
  ["cntr_", "container"],
  ["container_", "container"],
  ["batch_", "batch"],
  ["batches/", "batch"],
  ["msgbatch_", "message_batch"],
  ["upload_", "upload"],
  ["video_", "video"],
  ["cachedContents/", "cached_content"],
  ["v1_", "interaction"],
]

/** What an id is of, by its beginning: providers name each kind in its own way. */
export function kindOf(id: string): ProviderObjectKind {
  return BEGINNINGS.find(([beginning]) => id.startsWith(beginning))?.[1] ?? "file"
}

/** How a kind begins a sentence. */
const LABELS: Readonly<Record<ProviderObjectKind, string>> = {
  file: "File",
  batch: "Batch",
  response: "Response",
  conversation: "Conversation",
  vector_store: "Vector store",
  upload: "Upload",
  container: "Container",
  video: "Video",
  cached_content: "Cached content",
  interaction: "Interaction",
  message_batch: "Message batch",
}

function openaiMissing(kind: ProviderObjectKind, id: string): MissingObject {
  const message =
    kind === "file"
      ? `No such File object: ${id}`
      : kind === "batch"
        ? `No batch found with id '${id}'.`
        : `${LABELS[kind]} with id '${id}' not found.`
  const param = kind === "file" ? "id" : null
  return { status: 404, body: { error: { message, type: "invalid_request_error", param, code: null } } }
}

function anthropicMissing(kind: ProviderObjectKind, id: string): MissingObject {
  const error = { type: "not_found_error", message: `${LABELS[kind]} not found: ${id}` }
  return { status: 404, body: { type: "error", error } }
}

/** Google does not tell either what is another's from what is not there. */
function googleMissing(kind: ProviderObjectKind, id: string): MissingObject {
  if (kind === "file") {
    const name = id.replace(/^files\//, "")
    return googleDenied(`You do not have permission to access the File ${name} or it may not exist.`)
  }
  if (kind === "cached_content") return googleDenied("CachedContent not found (or permission denied)")
  const error = { code: 404, message: "Requested entity was not found.", status: "NOT_FOUND" }
  return { status: 404, body: { error } }
}

function googleDenied(message: string): MissingObject {
  return { status: 403, body: { error: { code: 403, message, status: "PERMISSION_DENIED" } } }
}
