/** One request for each endpoint that is known, as its SDK would send it: what the tests of all doors go through. */
import type { SharedApi as Api } from "../../src/providers/dialect.ts"
import { ENDPOINTS, type Endpoint } from "../../src/providers/endpoint.ts"

export type DoorRequest = {
  readonly endpoint: Endpoint<Api>
  readonly method: string
  /** After the API's version. */
  readonly path: string
  readonly contentType: string
  readonly body: Buffer | null
}

const MODELS: Readonly<Record<Api, string>> = {
  openai: "gpt-4o-mini",
  anthropic: "claude-sonnet-4-5",
  google: "gemini-2.5-flash",
}

const messages = [{ role: "user", content: "Hi" }]
/** What a body needs besides its model, by the endpoint's name. */
const BODIES: Readonly<Record<string, object>> = {
  "chat.completions": { messages },
  responses: { input: "Hi", max_output_tokens: 50 },
  "responses.compact": { input: "Hi" },
  completions: { prompt: "Hi" },
  embeddings: { input: "Hi" },
  moderations: { input: "Hi" },
  "images.generations": { prompt: "a cat" },
  "audio.speech": { input: "Hi", voice: "alloy" },
  messages: { max_tokens: 50, messages },
  "messages.count_tokens": { messages },
}
const FORMS = ["images.edits", "images.variations", "audio.transcriptions", "audio.translations"]
const BOUNDARY = "----tallygate-test"

/** The request for an endpoint; `id` stands where its path names an object. */
export function requestFor(endpoint: Endpoint<Api>, id: string): DoorRequest {
  const model = MODELS[endpoint.api]
  const path = endpoint.path
    .replace("{id}", endpoint.api === "google" ? id.replace(/^.*\//, "") : id)
    .replace("{model}", model)
    .replace("/*", "/items")
  const method = endpoint.method === "*" ? "GET" : endpoint.method
  if (method === "GET" || method === "DELETE") return { endpoint, method, path, contentType: "", body: null }
  if (FORMS.includes(endpoint.name)) {
    return { endpoint, method, path, contentType: `multipart/form-data; boundary=${BOUNDARY}`, body: form(model) }
  }
  const named = endpoint.api === "google" || endpoint.routedBy === "object" ? {} : { model }
  // Spaces and order are the caller's own, and stay so.
  const body = Buffer.from(JSON.stringify({ ...named, ...(BODIES[endpoint.name] ?? { contents: [] }) }, null, 1))
  return { endpoint, method, path, contentType: "application/json", body }
}

/** One request for each endpoint, those of any method once. */
export function doorRequests(idOf: (endpoint: Endpoint<Api>) => string): DoorRequest[] {
  return ENDPOINTS.map((endpoint) => requestFor(endpoint, idOf(endpoint)))
}

function form(model: string): Buffer {
  const part = (head: string, value: string) =>
    `--${BOUNDARY}\r\ncontent-disposition: form-data; ${head}\r\n\r\n${value}\r\n`
  const file = part('name="file"; filename="a.wav"', "sound\u0000bytes")
  return Buffer.from(`${part('name="model"', model)}${file}--${BOUNDARY}--\r\n`)
}

/** Where callers find each API, and where the fake provider has it. */
export const AT_TALLYGATE: Readonly<Record<Api, string>> = { openai: "/v1", anthropic: "/v1", google: "/v1beta" }
export const AT_PROVIDER: Readonly<Record<Api, string>> = {
  openai: "/v1",
  anthropic: "/anthropic/v1",
  google: "/google/v1beta",
}

/** The path under an API's place; Google's uploads stand in front of it. */
export function pathUnder(place: string, path: string): string {
  return path.startsWith("/upload/") ? `/upload${place}${path.slice("/upload".length)}` : place + path
}
