/**
 * The one way to the server. The session stands in a cookie that no script can read; what a page keeps is the token that
 * goes with changes, and only in memory. Failures carry what the server said and the id to report.
 */

/** An answer that is no success, or no answer at all (`status` 0). */
export class ApiFailure extends Error {
  readonly status: number
  readonly code: string
  readonly param: string | null
  readonly requestId: string | null
  readonly retryAfterSeconds: number | null

  constructor(
    message: string,
    facts: Partial<Pick<ApiFailure, "status" | "code" | "param" | "requestId" | "retryAfterSeconds">>,
  ) {
    super(message)
    this.status = facts.status ?? 0
    this.code = facts.code ?? "unreachable"
    this.param = facts.param ?? null
    this.requestId = facts.requestId ?? null
    this.retryAfterSeconds = facts.retryAfterSeconds ?? null
  }
}

export type Query = Readonly<Record<string, string | number | boolean | null | undefined>>

const csrf = { token: "" }

/** The token of the session that is open, or '' after a log-out. */
export function keepCsrfToken(token: string): void {
  csrf.token = token
}

/** A path with its query; what is absent or empty is left out. */
export function addressOf(path: string, query: Query = {}): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") search.set(name, String(value))
  }
  const text = search.toString()
  return text === "" ? path : `${path}?${text}`
}

export async function get<Answer>(path: string, query: Query = {}, signal?: AbortSignal): Promise<Answer> {
  return send(addressOf(path, query), { method: "GET", ...(signal ? { signal } : {}) })
}

export async function change<Answer>(
  method: "POST" | "PATCH" | "PUT" | "DELETE",
  path: string,
  body?: unknown,
): Promise<Answer> {
  const headers: Record<string, string> = { "x-tallygate-csrf": csrf.token }
  if (body !== undefined) headers["content-type"] = "application/json"
  return send(path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
}

async function send<Answer>(address: string, options: RequestInit): Promise<Answer> {
  const response = await fetch(address, { credentials: "same-origin", ...options }).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "AbortError") throw error
    throw new ApiFailure("The server does not answer. Check that Tallygate is running, then try again.", {})
  })
  const text = await response.text()
  if (response.ok) return (text === "" ? null : JSON.parse(text)) as Answer
  throw failureOf(response, text)
}

function failureOf(response: Response, text: string): ApiFailure {
  const facts = {
    status: response.status,
    requestId: response.headers.get("x-request-id"),
    retryAfterSeconds: Number(response.headers.get("retry-after")) || null,
  }
  const said = errorIn(text)
  if (said === null) {
    return new ApiFailure(`The server answered ${response.status} without a reason.`, { ...facts, code: "unknown" })
  }
  return new ApiFailure(said.message, { ...facts, code: said.code ?? "unknown", param: said.param ?? null })
}

function errorIn(text: string): { message: string; code?: string; param?: string | null } | null {
  try {
    const body: unknown = JSON.parse(text)
    if (typeof body !== "object" || body === null || !("error" in body)) return null
    const { error } = body
    return typeof error === "object" && error !== null && "message" in error ? (error as { message: string }) : null
  } catch {
    return null
  }
}
