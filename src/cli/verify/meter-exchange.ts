/** Lets the meter of the data plane read a recorded answer: the same endpoint table, dialects, reader and rules. */
import { DIALECTS } from "../../identity/provider-account.ts"
import { ZERO_USAGE } from "../../metering/usage.ts"
import { FREE_FACTS, newReading, type Reading, type RequestFacts } from "../../providers/dialect.ts"
import { type Endpoint, type EndpointMatch, matchEndpoint } from "../../providers/endpoint.ts"
import { matchSession } from "../../providers/openai-realtime.ts"
import { AnswerReader } from "../../proxy/answer-reader.ts"
import { reportedUsage } from "../../proxy/answer-usage.ts"
import type { AnswerUsage } from "../../proxy/record.ts"
import { bodyOf, type RecordedExchange } from "./recorded-exchange.ts"

export type Metered =
  | {
      readonly kind: "metered"
      readonly endpoint: string
      readonly reading: Reading
      /** What the record would say; `estimated` with what was reported so far where the rest would be counted. */
      readonly answerUsage: AnswerUsage
    }
  /** No usage is read of such calls. */
  | { readonly kind: "not read"; readonly reason: string }

/** What nobody knows of a request is no reason to call its answer free. */
const UNKNOWN_FACTS: RequestFacts = { ...FREE_FACTS, isFree: false }

export function meterExchange(exchange: RecordedExchange): Metered {
  const match = findEndpoint(exchange)
  const path = exchange.path.replace(/\?.*/, "")
  if (match === null) return { kind: "not read", reason: `no endpoint is known at ${exchange.method} ${path}` }
  if (!match.endpoint.isMetered) return { kind: "not read", reason: `${match.endpoint.name} is not metered` }
  const later = match.endpoint.object?.laterUsage ?? null
  const dialect = later ?? match.endpoint.dialect
  const reading = readAnswer(exchange, dialect)
  const facts = later === null ? factsOf(exchange, match) : UNKNOWN_FACTS
  const answer = { reading, mayBeBilled: exchange.response.status < 400, isDrained: false }
  const endpoint: Endpoint = { ...match.endpoint, dialect }
  const answerUsage = reportedUsage({ endpoint, awaited: null }, { facts }, answer) ?? estimated(reading)
  return { kind: "metered", endpoint: match.endpoint.name, reading, answerUsage }
}

/**
 * The endpoint behind the longest end of the path that is one: what stands before it (a version, a deployment, a
 * location) belongs to the provider's base URL. Where APIs share a path, it is that of the provider's own, then of those
 * that many speak.
 */
function findEndpoint({ provider, method, path }: RecordedExchange): EndpointMatch | null {
  const segments = path.replace(/\?.*/, "").split("/").slice(1)
  const apis = DIALECTS.toSorted((a, b) => Number(b === provider) - Number(a === provider))
  for (const api of apis) {
    for (let from = 0; from < segments.length; from++) {
      const rest = `/${segments.slice(from).join("/")}`
      const match = matchEndpoint(api, method, rest)
      if (match !== null) return match
      const session = matchSession(api, method, rest)
      if (session !== null) return { endpoint: session, objectId: null, model: null }
    }
  }
  return null
}

function readAnswer({ response, ...rest }: RecordedExchange, dialect: Endpoint["dialect"]): Reading {
  const headers = new Map(Object.entries(response.headers).map(([name, value]) => [name.toLowerCase(), value]))
  const contentType = headers.get("content-type") ?? ""
  const reading = newReading()
  dialect.readHead?.((name) => headers.get(name) ?? "", reading)
  const reader = new AnswerReader(dialect, reading, {
    isSse: contentType.startsWith("text/event-stream"),
    contentType,
    encoding: headers.get("content-encoding") ?? "",
    hidesUsage: false,
    streamEnd: null,
  })
  reader.push(bodyOf({ response, ...rest }))
  reader.end()
  return reading
}

function factsOf({ request }: RecordedExchange, { endpoint, model }: EndpointMatch): RequestFacts {
  const form = {
    model,
    isStream: model === null ? null : endpoint.name === "stream_generate_content",
    contentType: "application/json",
  }
  const read = endpoint.dialect.readRequest(Buffer.from(JSON.stringify(request ?? null)), form)
  return read.kind === "read" ? read.facts : UNKNOWN_FACTS
}

function estimated({ usage, usageRaw }: Reading): AnswerUsage {
  const origin = { source: "estimated", estimator: "", raw: usageRaw, isMismatch: false } as const
  return { usage: usage ?? ZERO_USAGE, origin }
}
