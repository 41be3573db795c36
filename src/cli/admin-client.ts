/**
 * The admin API of a running Tallygate, as the commands keys, users and usage ask it: at TALLYGATE_URL with the admin
 * key in TALLYGATE_ADMIN_KEY. Everything that can go wrong is told with its next step; the key is never repeated.
 */
import { z } from "zod"
import type { Environment } from "../config/interpolate.ts"
import { CommandError } from "./command.ts"
import { connectionFault } from "./connection-fault.ts"

const DEFAULT_URL = "http://127.0.0.1:8787"
const ANSWER_MS_MAX = 60_000
/** The most that a page of the admin API holds. */
const PAGE_ROWS = 1_000

const errorAnswer = z.object({ error: z.object({ message: z.string() }) })
const page = z.object({ data: z.array(z.unknown()), next: z.string().nullable() })

type Method = "GET" | "POST" | "PATCH" | "DELETE"

export class AdminClient {
  /** Without a slash at its end. */
  readonly url: string
  readonly #key: string
  readonly #answerMsMax: number

  /** @throws CommandError where the environment does not say where to ask, or with which key */
  constructor(env: Environment, answerMsMax = ANSWER_MS_MAX) {
    this.#answerMsMax = answerMsMax
    this.url = readUrl(env.TALLYGATE_URL || DEFAULT_URL)
    const key = env.TALLYGATE_ADMIN_KEY ?? ""
    if (key === "") {
      throw new CommandError(
        "TALLYGATE_ADMIN_KEY is not set. Put an admin key there: the one that the first start showed, or one made since.",
      )
    }
    if (!/^[\x21-\x7e]+$/.test(key)) throw new CommandError("TALLYGATE_ADMIN_KEY holds a space or a line break.")
    this.#key = key
  }

  /** Asks a route and returns its answer. @throws CommandError with the refusal's own words, or for what is not answered */
  ask<Schema extends z.ZodType>(
    schema: Schema,
    method: Method,
    route: string,
    body?: object,
  ): Promise<z.output<Schema>> {
    return this.askText(schema, method, route, body === undefined ? undefined : JSON.stringify(body))
  }

  /** The same with a body that is JSON already. */
  async askText<Schema extends z.ZodType>(
    schema: Schema,
    method: Method,
    route: string,
    body: string | undefined,
  ): Promise<z.output<Schema>> {
    const parsed = schema.safeParse(await readJson(await this.#send(method, route, body)))
    if (parsed.success) return parsed.data
    throw new CommandError(`${this.url} answers in another form than this version knows; is it a Tallygate?`)
  }

  /** The text of a file. @throws CommandError as `ask` does */
  async askFile(route: string): Promise<string> {
    return (await this.#send("GET", route, undefined)).text()
  }

  /** The text that a route answers, as it comes. @throws CommandError as `ask` does, and where the answer breaks off */
  async *read(route: string): AsyncGenerator<Uint8Array> {
    const response = await this.#send("GET", route, undefined)
    try {
      for await (const part of response.body ?? []) yield part
    } catch (cause) {
      throw new CommandError(`the answer of ${this.url} broke off. What was written is not all. Try again.`, { cause })
    }
  }

  /** Every row of a list, page by page. */
  async askAll<Schema extends z.ZodType>(
    schema: Schema,
    route: string,
    query: Readonly<Record<string, string | undefined>>,
  ): Promise<z.output<Schema>[]> {
    const rows: z.output<Schema>[] = []
    let after: string | undefined
    do {
      const asked = withQuery(route, { ...query, after, limit: String(PAGE_ROWS) })
      const { data, next } = await this.ask(page.extend({ data: z.array(schema) }), "GET", asked)
      rows.push(...data)
      after = next ?? undefined
    } while (after !== undefined)
    return rows
  }

  /** The answer to what was not refused. */
  async #send(method: string, route: string, body: string | undefined): Promise<Response> {
    const response = await this.#answer(method, route, body)
    if (response.ok) return response
    const told = errorAnswer.safeParse(await readJson(response))
    if (!told.success) throw new CommandError(`${this.url} answers ${response.status}; is it a Tallygate?`)
    const { message } = told.data.error
    if (response.status === 401) throw new CommandError(`the key in TALLYGATE_ADMIN_KEY is refused: ${message}`)
    throw new CommandError(message)
  }

  async #answer(method: string, route: string, body: string | undefined): Promise<Response> {
    try {
      return await fetch(this.url + route, {
        method,
        // A redirect would take the admin key elsewhere.
        redirect: "error",
        signal: AbortSignal.timeout(this.#answerMsMax),
        headers: { authorization: `Bearer ${this.#key}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body }),
      })
    } catch (cause) {
      const why = `nothing answers at ${this.url} (${connectionFault(cause)}).`
      const next = "Start Tallygate with `tallygate serve`, or set TALLYGATE_URL to where it listens."
      throw new CommandError(`${why} ${next}`, { cause })
    }
  }
}

/** The route with what of the query is said. */
export function withQuery(route: string, query: Readonly<Record<string, string | undefined>>): string {
  const said = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) said.set(name, value)
  return said.size === 0 ? route : `${route}?${said}`
}

function readUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.search === ""
  if (isPlain) return url.href.replace(/\/+$/, "")
  throw new CommandError(`TALLYGATE_URL must be an address such as ${DEFAULT_URL}, without user and query.`)
}

async function readJson(response: Response): Promise<unknown> {
  const text = await response.text()
  try {
    return JSON.parse(text)
  } catch {
    // Whoever asked says that this is no Tallygate.
    return null
  }
}
