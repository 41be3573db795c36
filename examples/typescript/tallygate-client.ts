/**
 * Reports to Tallygate what a program uses of AI providers that it calls directly. Copy this file into a project: it needs
 * `fetch` and nothing else.
 *
 *     const tg = new Tallygate({ baseUrl: "http://127.0.0.1:8787", key: "tg_…" })
 *
 *     const answer = await tg.call({ provider: "openai", model: "gpt-4o-mini", tool: "helpdesk" }, async (call) => {
 *       const answer = await client.chat.completions.create({ model: "gpt-4o-mini", messages })
 *       call.usageOf(answer)
 *       return answer
 *     })
 *
 * Calls that go through Tallygate are metered there already: do not report them a second time.
 *
 * - It never breaks the program: only a wrong option of the constructor throws. Whatever goes wrong later is told to
 *   `onFault` and counted in `totals`.
 * - It never holds the program up: records wait in a bounded queue and are sent in batches. What finds the queue full is
 *   dropped, counted and told. Nothing here keeps a program running that has ended otherwise.
 * - It never counts twice: each record has its idempotency key from the moment it is made, and a batch whose answer was
 *   lost is sent again under the same keys, for as long as it takes, ever more seldom.
 */

/** A record's fields, those of `POST /v1/usage`: docs/integration.md says what each means. */
export type UsageFields = {
  provider?: string
  model?: string
  tier?: string
  tool?: string
  operation?: string
  conversation?: string
  end_customer?: string
  user?: string
  project_id?: string
  tags?: readonly string[]
  metadata?: Readonly<Record<string, string>>
  input_tokens?: number
  input_uncached_tokens?: number
  cache_read_tokens?: number
  cache_write_5m_tokens?: number
  cache_write_1h_tokens?: number
  output_tokens?: number
  reasoning_tokens?: number
  audio_input_tokens?: number
  image_input_tokens?: number
  audio_output_tokens?: number
  image_output_tokens?: number
  web_searches?: number
  units?: number
  unit_type?: string
  /** Dollars as a decimal string. */
  cost_usd?: string
  /** ISO 8601. */
  time?: string
  duration_ms?: number
  outcome?: "ok" | "error" | "aborted"
  error?: string
  idempotency_key?: string
  hold_id?: string
}

/**
 * Something went wrong that the program need not care about, but somebody should: records were dropped (`queue_full`),
 * Tallygate will not book them (`refused`), it cannot be asked and they wait (`unavailable`), the program ended first
 * (`unsent`), nothing said what a call used (`no_usage`), or what was reported is no record (`internal`).
 */
export type Fault = {
  readonly kind: "queue_full" | "refused" | "unavailable" | "unsent" | "no_usage" | "internal"
  readonly message: string
  /** How many records are concerned. */
  readonly records: number
}

/** A limit that has used more than its cap, as the answer to a report tells it. */
export type OverLimit = {
  readonly limit_id: string
  readonly scope: string
  readonly kind: string
  readonly window: string
  readonly enforcement: string
  readonly cap: string
  readonly used: string
  readonly resets_at: string | null
}

/** What this client has reported since it was made. */
export type Totals = {
  /** Records that Tallygate has booked. */
  readonly records: number
  /** Tokens of those records, input and output. */
  readonly tokens: number
  /** What they cost, as a decimal string of dollars. What has no price is not in it. */
  readonly costUsd: string
  /** Records among them that have no price. */
  readonly unpriced: number
  readonly refused: number
  /** Records that were given up: the queue was full, or the program ended. */
  readonly dropped: number
  /** The latest news of each limit, by its id. */
  readonly overLimit: ReadonlyMap<string, OverLimit>
}

/**
 * Room that is held for a call to come; name it to `call`, which ends it. Where Tallygate cannot be asked, the program
 * decides: `if (hold.state === "refused")` goes on then, `if (hold.state !== "granted")` does not.
 */
export type Hold =
  | { readonly state: "granted"; readonly id: string }
  | { readonly state: "refused" | "unavailable"; readonly reason: string }

export type TallygateOptions = {
  /** Tallygate's address, without `/v1`; by default `TALLYGATE_URL` of the environment. */
  readonly baseUrl?: string
  /** A virtual key; by default `TALLYGATE_KEY` of the environment. */
  readonly key?: string
  /** Fields of every record. */
  readonly defaults?: UsageFields
  /** Records that are sent at once, at most. */
  readonly batchSize?: number
  /** How long a record waits for others to be sent with. */
  readonly flushMs?: number
  /** Records that may wait; more are dropped. */
  readonly queueMax?: number
  /** For one request. */
  readonly timeoutMs?: number
  /** Before a batch is sent again; doubles with each attempt, up to `retryMsMax`. */
  readonly retryMs?: number
  readonly retryMsMax?: number
  /** How long `close` waits for what is still to be sent. */
  readonly closeMs?: number
  /** By default `console.warn`. */
  readonly onFault?: (fault: Fault) => void
}

type Waiting = { readonly text: string; readonly tokens: number }
type Answer = { readonly status: number; readonly body: unknown; readonly waitMs: number }
type Told = {
  readonly duplicate?: boolean
  readonly cost_usd?: string | null
  readonly over_limit?: readonly OverLimit[] | null
}

/** Tallygate takes at most 1,000 records at once, and 2 MiB. */
const BATCH_SIZE_MAX = 1_000
const BATCH_CHARS_MAX = 500_000
/** Answers after which the same batch is sent again. Every other refusal is final. */
const PASSING = new Set([0, 408, 425, 429, 500, 502, 503, 504])
/** Parts of an OpenAI-style client whose answers have a usage. */
const METERED = new Set(["completions", "responses", "embeddings", "messages"])

const environment = (name: string): string => globalThis.process?.env?.[name] ?? ""

/** One call to a provider, timed from when it is made; `Tallygate.call` ends it. */
export class Call {
  readonly #report: (record: UsageFields) => void
  #fields: UsageFields
  readonly #time = new Date().toISOString()
  readonly #started = performance.now()
  #isEnded = false

  constructor(report: (record: UsageFields) => void, fields: UsageFields) {
    this.#report = report
    this.#fields = fields
  }

  /** Says what was used, or any other field; a field that is said again takes the place of what was said before. */
  usage(fields: UsageFields): void {
    this.#fields = { ...this.#fields, ...fields }
  }

  /** Reads usage and model out of an answer, an event or a chunk of OpenAI's or Anthropic's SDK. */
  usageOf(answer: unknown): void {
    this.usage(readUsage(answer))
  }

  /** Reports the call, the first time; `failure` is what it ended with. */
  end(failure?: { readonly outcome: "error" | "aborted"; readonly error: string }): void {
    if (this.#isEnded) return
    this.#isEnded = true
    const durationMs = Math.round(performance.now() - this.#started)
    this.#report({ time: this.#time, duration_ms: durationMs, ...failure, ...this.#fields })
  }
}

/** Reports usage with one virtual key. One is enough for a program. */
export class Tallygate {
  readonly #options: Required<TallygateOptions>
  readonly #queue: Waiting[] = []
  #sending = 0
  #isClosed = false
  /** What is under way; undefined while nothing waits. */
  #work: Promise<void> | undefined
  /** Ends the pause that the work is in. */
  #hurry: () => void = () => undefined
  #flushes = 0
  readonly #atExit = () => void this.close()
  #totals: Totals & { readonly picos: bigint } = {
    ...{ records: 0, tokens: 0, costUsd: "0", picos: 0n, unpriced: 0, refused: 0, dropped: 0 },
    overLimit: new Map<string, OverLimit>(),
  }

  /** @throws RangeError where an option is wrong: nothing else comes out of this file */
  constructor(options: TallygateOptions = {}) {
    const { baseUrl = environment("TALLYGATE_URL"), key = environment("TALLYGATE_KEY") } = options
    this.#options = {
      ...{ defaults: {}, batchSize: 100, flushMs: 1_000, queueMax: 10_000, timeoutMs: 10_000 },
      ...{ retryMs: 500, retryMsMax: 30_000, closeMs: 5_000 },
      onFault: ({ kind, message }) => console.warn(`tallygate: ${kind}: ${message}`),
      ...options,
      ...{ baseUrl: baseUrl.replace(/\/+$/, ""), key },
    }
    const { batchSize, queueMax, timeoutMs, retryMs } = this.#options
    if (!/^https?:\/\//.test(baseUrl)) {
      throw new RangeError("baseUrl must be Tallygate's address, such as http://127.0.0.1:8787 (or set TALLYGATE_URL)")
    }
    if (!key.startsWith("tg_")) {
      throw new RangeError("key must be a virtual key, which begins with tg_ (or set TALLYGATE_KEY)")
    }
    if (!(batchSize >= 1 && batchSize <= BATCH_SIZE_MAX)) {
      throw new RangeError(`batchSize must be from 1 to ${BATCH_SIZE_MAX}`)
    }
    if (!(queueMax >= batchSize)) throw new RangeError("queueMax must be at least batchSize")
    if (!(timeoutMs > 0 && retryMs > 0)) throw new RangeError("timeoutMs and retryMs must be more than 0")
    // The program has nothing more to do: what waits is sent now. It does not come before `process.exit()`.
    globalThis.process?.once?.("beforeExit", this.#atExit)
  }

  /**
   * Runs `work` around one call to a provider; it is timed, and reported when the work is over. What was used is said
   * inside of it. What the work throws is reported as the outcome `error`, and thrown on as it is.
   */
  async call<T>({ hold, ...fields }: UsageFields & { hold?: Hold }, work: (call: Call) => T | Promise<T>): Promise<T> {
    const call = this.#begun(hold?.state === "granted" ? { ...fields, hold_id: hold.id } : fields)
    try {
      const result = await work(call)
      call.end()
      return result
    } catch (error) {
      call.end(failureOf(error))
      throw error
    }
  }

  /** Reports one record that is complete. It is sent soon, with others; nothing is waited for. */
  report(record: UsageFields): void {
    try {
      const whole = { idempotency_key: crypto.randomUUID(), ...this.#options.defaults, ...record }
      if (!saysSomething(whole)) {
        const message = "nothing says what the call used: use call.usage(…), or ask a stream for its usage"
        this.#tell("no_usage", message, 1)
      } else if (this.#isClosed || this.#queue.length + this.#sending >= this.#options.queueMax) {
        this.#count({ dropped: 1 })
        const why = this.#isClosed ? "closed" : `${this.#options.queueMax} records wait, and no more fit`
        this.#tell("queue_full", `a record was dropped: ${why}`, 1)
      } else {
        this.#queue.push({ text: JSON.stringify(whole), tokens: tokensOf(whole) })
        this.#work ??= this.#sendAll()
        if (this.#queue.length >= this.#options.batchSize && this.#sending === 0) this.#hurry()
      }
    } catch (error) {
      this.#tell("internal", `a record cannot be reported: ${error}`, 1)
    }
  }

  /** Asks for room beforehand, for what the call will use at most; `expires_in` seconds, 900 unless told. */
  async hold(fields: UsageFields & { expires_in?: number }): Promise<Hold> {
    const { status, body } = await this.#post(
      "/v1/usage/hold",
      JSON.stringify({ ...this.#options.defaults, ...fields }),
    )
    const id = member(body, "hold_id")
    if (status === 201 && typeof id === "string") return { state: "granted", id }
    const reason = reasonOf(status, body)
    if (status === 403 || status === 429) return { state: "refused", reason }
    this.#tell("unavailable", `Tallygate cannot be asked for room: ${reason}`, 0)
    return { state: "unavailable", reason }
  }

  /**
   * A stream of OpenAI's or Anthropic's SDK, or a like one, as it is; its usage is reported when it ends. One that the
   * program leaves early is reported as `aborted`, one that fails as `error`. OpenAI tells the usage of a chat completion
   * only where it is asked to: `stream_options: { include_usage: true }`.
   */
  trackStream<Chunk, Stream extends AsyncIterable<Chunk>>(
    stream: Stream & AsyncIterable<Chunk>,
    fields: UsageFields,
  ): Stream {
    return trackedStream(stream, this.#begun(fields))
  }

  /**
   * An OpenAI-style client whose calls are reported; in every other way it is the client itself. Reported are `create`
   * and `parse` of completions, responses, embeddings and messages, also as streams. The operation is the call's own name
   * (`chat.completions`), unless `fields` has another one.
   */
  wrap<Client extends object>(client: Client, fields: UsageFields = {}): Client {
    const begin = (more: UsageFields) => this.#begun({ provider: "openai", ...more, ...fields })
    return wrapped(client, begin, [])
  }

  /** What has been booked so far. */
  get totals(): Totals {
    const { picos: _picos, ...totals } = this.#totals
    return totals
  }

  /** Sends what waits, now. True where all of it has been answered within the time. */
  async flush(timeoutMs = 10_000): Promise<boolean> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), timeoutMs)
    })
    this.#flushes += 1
    this.#hurry()
    try {
      return await Promise.race([(this.#work ?? Promise.resolve()).then(() => true), late])
    } finally {
      this.#flushes -= 1
      clearTimeout(timer)
    }
  }

  /** Sends what waits, within `closeMs`, and ends. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    await this.flush(this.#options.closeMs)
    if (this.#isClosed) return
    this.#isClosed = true
    globalThis.process?.off?.("beforeExit", this.#atExit)
    const unsent = this.#queue.length + this.#sending
    this.#queue.length = 0
    this.#hurry()
    if (unsent === 0) return
    this.#count({ dropped: unsent })
    this.#tell("unsent", `${unsent} records had no answer before the end`, unsent)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #begun(fields: UsageFields): Call {
    return new Call((record) => this.report(record), fields)
  }

  async #sendAll(): Promise<void> {
    while (this.#queue.length > 0) {
      if (this.#queue.length < this.#options.batchSize && this.#flushes === 0) await this.#pause(this.#options.flushMs)
      const batch = this.#takeBatch()
      this.#sending = batch.length
      try {
        if (batch.length > 0) await this.#send(batch)
      } catch (error) {
        // What follows must be sent, whatever one answer holds.
        this.#tell("internal", `the answer for ${batch.length} records cannot be read: ${error}`, batch.length)
      }
      this.#sending = 0
    }
    this.#work = undefined
  }

  #takeBatch(): readonly Waiting[] {
    let [count, chars] = [0, 0]
    for (const { text } of this.#queue.slice(0, this.#options.batchSize)) {
      chars += text.length
      if (count > 0 && chars > BATCH_CHARS_MAX) break
      count += 1
    }
    return this.#queue.splice(0, count)
  }

  /** Sends one batch until it is answered for good, or until the end. */
  async #send(batch: readonly Waiting[]): Promise<void> {
    const body = `{"records":[${batch.map(({ text }) => text).join(",")}]}`
    for (let attempt = 0; ; attempt += 1) {
      const answer = await this.#post("/v1/usage", body)
      if (this.#isClosed) return
      const told = member(answer.body, "data")
      // Whoever else answers at that address has not said what became of each record.
      if (answer.status === 200 && Array.isArray(told) && told.length === batch.length) {
        return this.#booked(batch, told, attempt > 0)
      }
      const reason = reasonOf(answer.status, answer.body)
      if (!PASSING.has(answer.status)) {
        this.#count({ refused: batch.length })
        return this.#tell("refused", `${batch.length} records are not booked: ${reason}`, batch.length)
      }
      if (attempt === 0)
        this.#tell("unavailable", `records wait, Tallygate does not take them: ${reason}`, batch.length)
      const { retryMs, retryMsMax } = this.#options
      // By chance, so that a thousand programs do not come back at the same moment.
      const pauseMs = Math.min(retryMsMax, retryMs * 2 ** Math.min(attempt, 16)) * (0.5 + Math.random() / 2)
      await this.#pause(Math.max(answer.waitMs, pauseMs))
      if (this.#isClosed) return
    }
  }

  /** Waits, and no longer than until the next flush. */
  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      // A program that has ended otherwise is not kept running; in browsers there is nothing to be kept.
      if (typeof timer === "object") timer.unref()
      this.#hurry = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#hurry = () => undefined
  }

  /** Status 0 where nobody answers. */
  async #post(path: string, body: string): Promise<Answer> {
    const { baseUrl, key, timeoutMs } = this.#options
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" }
    try {
      const signal = AbortSignal.timeout(timeoutMs)
      const response = await fetch(baseUrl + path, { method: "POST", headers, body, signal })
      const text = await response.text()
      const seconds = Number(response.headers.get("retry-after") ?? 0)
      return { status: response.status, body: parsed(text), waitMs: Math.min(60, Math.max(0, seconds || 0)) * 1_000 }
    } catch (error) {
      return { status: 0, body: { error: { message: String(error) } }, waitMs: 0 }
    }
  }

  #booked(batch: readonly Waiting[], answers: readonly Told[], isRepeated: boolean): void {
    batch.forEach(({ tokens }, index) => {
      const told = answers[index] ?? {}
      if (member(told, "error") !== undefined) {
        this.#count({ refused: 1 })
        this.#tell("refused", `a record is not booked: ${reasonOf(400, told)}`, 1)
        return
      }
      // Of a batch that is sent again, a duplicate was booked by an attempt whose answer did not arrive. Else the program
      // itself has reported it twice, and it was counted the first time.
      if (told.duplicate === true && !isRepeated) return
      const cost = told.cost_usd ?? null
      this.#count({ records: 1, tokens, unpriced: cost === null ? 1 : 0, picos: picosOf(cost ?? "0") })
      const overLimit = new Map(this.#totals.overLimit)
      for (const limit of told.over_limit ?? []) overLimit.set(limit.limit_id, limit)
      this.#totals = { ...this.#totals, overLimit }
    })
  }

  #count(more: {
    records?: number
    tokens?: number
    unpriced?: number
    refused?: number
    dropped?: number
    picos?: bigint
  }) {
    const { records, tokens, unpriced, refused, dropped, overLimit } = this.#totals
    const picos = this.#totals.picos + (more.picos ?? 0n)
    this.#totals = {
      records: records + (more.records ?? 0),
      tokens: tokens + (more.tokens ?? 0),
      unpriced: unpriced + (more.unpriced ?? 0),
      refused: refused + (more.refused ?? 0),
      dropped: dropped + (more.dropped ?? 0),
      ...{ overLimit, picos, costUsd: usdOf(picos) },
    }
  }

  #tell(kind: Fault["kind"], message: string, records: number): void {
    try {
      this.#options.onFault({ kind, message, records })
    } catch (error) {
      // Whoever listens has a fault of its own; it must not become the program's.
      console.warn(`tallygate: onFault failed: ${error}`)
    }
  }
}

function failureOf(error: unknown): { outcome: "error" | "aborted"; error: string } {
  const name = error instanceof Error ? error.name : "error"
  return { outcome: name.endsWith("AbortError") ? "aborted" : "error", error: name.slice(0, 100) || "error" }
}

/** Whether there is anything to book: an amount, a cost, or that it went wrong. */
function saysSomething(record: UsageFields): boolean {
  if ((record.outcome ?? "ok") !== "ok" || record.error !== undefined) return true
  return Object.entries(record).some(
    ([name, value]) => value !== undefined && /_tokens$|^(units|cost_usd|web_searches)$/.test(name),
  )
}

function tokensOf(record: UsageFields): number {
  const { input_uncached_tokens: uncached = 0, cache_read_tokens: read = 0 } = record
  const { cache_write_5m_tokens: short = 0, cache_write_1h_tokens: long = 0 } = record
  return (record.input_tokens ?? uncached + read + short + long) + (record.output_tokens ?? 0)
}

/** Dollars to 1e-12 of them, so that sums are exact. */
function picosOf(usd: string): bigint {
  const [whole = "0", fraction = ""] = usd.split(".")
  return BigInt(whole + fraction.padEnd(12, "0").slice(0, 12))
}

function usdOf(picos: bigint): string {
  const digits = String(picos).padStart(13, "0")
  return `${digits.slice(0, -12)}.${digits.slice(-12)}`.replace(/\.?0+$/, "")
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function reasonOf(status: number, body: unknown): string {
  const message = member(member(body, "error"), "message")
  return typeof message === "string" ? message : `HTTP ${status}`
}

function member(thing: unknown, name: string): unknown {
  return typeof thing === "object" && thing !== null ? (thing as Record<string, unknown>)[name] : undefined
}

/**
 * Usage and model of an answer, an event or a chunk: of OpenAI's chat completions and responses, of Anthropic's messages,
 * and of what is like them; empty where it says nothing.
 */
export function readUsage(answer: unknown): UsageFields {
  // Responses and messages come whole, or within an event of their stream.
  const whole = [member(answer, "response"), member(answer, "message"), answer].find(
    (one) => typeof one === "object" && one !== null,
  )
  const model = member(whole, "model")
  const usage = member(whole, "usage")
  const counts = typeof usage === "object" && usage !== null ? usageFields(usage) : {}
  const told = Object.entries(counts).filter(([, value]) => typeof value === "number")
  return { ...(typeof model === "string" ? { model } : {}), ...Object.fromEntries(told) }
}

function usageFields(usage: object): Record<string, unknown> {
  const of = (name: string) => member(usage, name)
  const [read, written] = [of("cache_read_input_tokens"), of("cache_creation_input_tokens")]
  const isApart = typeof read === "number" || typeof written === "number"
  if (isApart) {
    // Anthropic counts cached input apart, and writes of an hour apart from those of five minutes.
    const hour = Number(member(of("cache_creation"), "ephemeral_1h_input_tokens") ?? 0)
    return {
      input_uncached_tokens: of("input_tokens"),
      cache_read_tokens: read,
      cache_write_5m_tokens: typeof written === "number" ? written - hour : null,
      cache_write_1h_tokens: hour > 0 ? hour : null,
      output_tokens: of("output_tokens"),
    }
  }
  const inputs = of("prompt_tokens_details") ?? of("input_tokens_details")
  const outputs = of("completion_tokens_details") ?? of("output_tokens_details")
  return {
    input_tokens: of("prompt_tokens") ?? of("input_tokens"),
    output_tokens: of("completion_tokens") ?? of("output_tokens"),
    cache_read_tokens: member(inputs, "cached_tokens"),
    reasoning_tokens: member(outputs, "reasoning_tokens"),
    audio_output_tokens: member(outputs, "audio_tokens"),
  }
}

/** The stream with every member of its own, except that whoever reads it is followed. */
function trackedStream<Stream extends AsyncIterable<unknown>>(stream: Stream, call: Call): Stream {
  async function* followed(): AsyncGenerator<unknown> {
    let failure: Parameters<Call["end"]>[0] = { outcome: "aborted", error: "left" }
    try {
      for await (const chunk of stream) {
        call.usageOf(chunk)
        yield chunk
      }
      failure = undefined
    } catch (error) {
      failure = failureOf(error)
      throw error
    } finally {
      call.end(failure)
    }
  }
  return new Proxy(stream, {
    get: (_, name) => (name === Symbol.asyncIterator ? followed : ownMember(stream, name)),
  })
}

type Method = (...parameters: unknown[]) => unknown

/** A member as the thing itself has it: methods keep their `this`, since private members are not reached by a proxy. */
function ownMember(thing: object, name: PropertyKey): unknown {
  const found: unknown = Reflect.get(thing, name, thing)
  return typeof found === "function" ? found.bind(thing) : found
}

/** A client, or a part of one, whose metered calls are reported. */
function wrapped<T extends object>(target: T, begin: (fields: UsageFields) => Call, path: readonly string[]): T {
  return new Proxy(target, {
    get: (_, name) => {
      const found = ownMember(target, name)
      if (typeof name === "symbol" || name.startsWith("_")) return found
      if (typeof found === "object" && found !== null) return wrapped(found, begin, [...path, name])
      if (name === "withOptions")
        return (...options: unknown[]) => wrapped((found as () => T)(...(options as [])), begin, [])
      const isMetered = (name === "create" || name === "parse") && METERED.has(path.at(-1) ?? "")
      return isMetered && typeof found === "function" ? reported(found as Method, begin, path.join(".")) : found
    },
  })
}

function reported(create: Method, begin: (fields: UsageFields) => Call, operation: string): Method {
  return (...parameters) => {
    const model = member(parameters[0], "model")
    const call = begin({ operation, ...(typeof model === "string" ? { model } : {}) })
    const promised = create(...parameters) as Promise<unknown>
    const answered = once(() =>
      promised.then(
        (answer) => ended(answer, call),
        (error) => failed(error, call),
      ),
    )
    // SDKs return a promise with members of its own, such as `withResponse`.
    return new Proxy(promised, {
      get: (_, name) => {
        if (name === "then" || name === "catch" || name === "finally") return ownMember(answered(), name)
        if (name !== "withResponse") return ownMember(promised, name)
        return async () => {
          const [data, rest] = await Promise.all([answered(), (ownMember(promised, name) as Method)()])
          return { ...(rest as object), data }
        }
      },
    })
  }
}

/** Only when somebody asks, since some SDKs send no request before; and once. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

/** An answer is reported now; a stream, when it ends. */
function ended(answer: unknown, call: Call): unknown {
  if (typeof answer === "object" && answer !== null && Symbol.asyncIterator in answer) {
    return trackedStream(answer as AsyncIterable<unknown>, call)
  }
  call.usageOf(answer)
  call.end()
  return answer
}

function failed(error: unknown, call: Call): never {
  call.end(failureOf(error))
  throw error
}
