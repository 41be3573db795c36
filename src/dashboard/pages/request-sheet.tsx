/** One request: who, what, when, how long each part took, every try, every token class, and the cost line by line. */
import { useQuery } from "@tanstack/react-query"
import type { ReactNode } from "react"
import { Link } from "wouter"
import type { Realm } from "../api/realm.ts"
import { recordQuery, type UsageRecord } from "../api/usage.ts"
import { duration, fullCount } from "../format/format.ts"
import { clockTime, fullDay, zoneName } from "../format/moment.ts"
import { Failure, Skeleton } from "../ui/card.tsx"
import { CopyButton, ScrollingText } from "../ui/copy.tsx"
import { Sheet } from "../ui/sheet.tsx"
import { className } from "../view/group-names.ts"
import { useView } from "../view/use-view.ts"
import { CountedLimits } from "./counted-limits.tsx"
import { ExplainedCost } from "./explained-cost.tsx"
import { Fact, Facts } from "./key-sheet.tsx"
import { Status } from "./record-columns.tsx"
import { Timing } from "./timing.tsx"

export function RequestSheet({
  realm,
  id,
  timeZone,
  onClose,
}: {
  realm: Realm
  id: string
  timeZone: string
  onClose: () => void
}) {
  const { data, error, refetch } = useQuery(recordQuery(realm, id))
  const title = data === undefined ? "Request" : data.model_served || data.model_requested || data.endpoint
  return (
    <Sheet
      title={title}
      subtitle={<code className="font-mono text-meta break-all">{id}</code>}
      onClose={onClose}
      isWide
      foot={<CopyButton text={id} what="id" />}
    >
      {data !== undefined ? (
        <Detail record={data} realm={realm} timeZone={timeZone} />
      ) : error !== null ? (
        <Failure error={error} what="The request" retry={() => void refetch()} />
      ) : (
        <Skeleton lines={12} />
      )}
    </Sheet>
  )
}

function Detail({ record, realm, timeZone }: { record: UsageRecord; realm: Realm; timeZone: string }) {
  return (
    <div className="flex flex-col gap-6">
      <Head record={record} realm={realm} timeZone={timeZone} />
      <Part title="Time">
        <Timing record={record} />
      </Part>
      <Part title="Tokens">
        <Tokens record={record} />
      </Part>
      <Part title="Cost">
        <ExplainedCost realm={realm} id={record.id} timeZone={timeZone} />
      </Part>
      {realm === "admin" && record.charges.length > 0 && (
        <Part title="Counted against">
          <CountedLimits charges={record.charges} />
        </Part>
      )}
      {record.attempts.length > 0 && (
        <Part title="Tries at providers">
          <Attempts record={record} />
        </Part>
      )}
      {record.usage_raw != null && (
        <details className="text-table">
          <summary className="link">Usage as the provider reported it</summary>
          <div className="mt-2 rounded-control bg-sunken">
            <ScrollingText label="Usage as the provider reported it">
              {JSON.stringify(record.usage_raw, null, 2)}
            </ScrollingText>
          </div>
        </details>
      )}
      <p className="text-meta text-ink3">Prompts and answers are not stored.</p>
    </div>
  )
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section>
      <h3 className="mb-2 text-body font-semibold">{title}</h3>
      {children}
    </section>
  )
}

function Head({ record, realm, timeZone }: { record: UsageRecord; realm: Realm; timeZone: string }) {
  const { href } = useView()
  const to = (name: string, id: string, text: string | null) =>
    realm === "admin" && id !== "" ? (
      <Link href={href("/usage", { [name]: id })} className="link">
        {text ?? id}
      </Link>
    ) : (
      (text ?? (id || "None"))
    )
  const asked = record.model_requested
  return (
    <Facts>
      <Fact name="Outcome">
        <Status record={record} />{" "}
        {record.http_status > 0 && <span className="text-ink2">HTTP {record.http_status}</span>}{" "}
        {record.error_code !== "" && <code className="font-mono text-meta">{record.error_code}</code>}
      </Fact>
      <Fact name="When">
        <span title={record.time}>
          {fullDay(record.time, timeZone)}, {clockTime(record.time, timeZone)} {zoneName(timeZone, record.time)}
        </span>
      </Fact>
      <Fact name="Model">
        {record.model_served || "None"}
        {asked !== record.model_served && asked !== "" && <span className="text-ink2"> asked for as {asked}</span>}
      </Fact>
      <Fact name="Provider">
        {[...new Set([record.provider, record.provider_account])].filter((part) => part !== "").join(", ") || "None"}
      </Fact>
      <Fact name="Endpoint">
        {record.endpoint}
        {record.stream ? ", streamed" : ""}
      </Fact>
      {realm === "admin" && <Fact name="Project">{to("project", record.project_id, record.project)}</Fact>}
      <Fact name="Key">{to("key", record.key_id, record.key)}</Fact>
      {realm === "admin" && <Fact name="User">{to("user", record.user_id, record.user)}</Fact>}
      {record.end_customer !== "" && <Fact name="End customer">{record.end_customer}</Fact>}
      {record.tool !== "" && <Fact name="Tool">{record.tool}</Fact>}
      {record.operation !== "" && <Fact name="Operation">{record.operation}</Fact>}
      {record.conversation !== "" && <Fact name="Conversation">{record.conversation}</Fact>}
      {record.tags.length > 0 && <Fact name="Tags">{record.tags.join(", ")}</Fact>}
    </Facts>
  )
}

const CLASSES = ["input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output"] as const

function Tokens({ record }: { record: UsageRecord }) {
  const shown = CLASSES.filter((name) => record[`${name}_tokens`] > 0)
  return (
    <>
      {shown.length === 0 ? (
        <p className="text-table text-ink2">None were used.</p>
      ) : (
        <Facts>
          {shown.map((name) => (
            <Fact key={name} name={className(name)}>
              {fullCount(record[`${name}_tokens`])}
              {name === "output" && record.reasoning_tokens > 0 && (
                <span className="text-ink2">, of them {fullCount(record.reasoning_tokens)} reasoning</span>
              )}
            </Fact>
          ))}
        </Facts>
      )}
      <p className="mt-2 text-meta text-ink3">{sourceWords(record)}</p>
    </>
  )
}

function sourceWords({ usage_source: source, usage_mismatch: isMismatch }: UsageRecord): string {
  const words: Readonly<Record<string, string>> = {
    provider: "As the provider reported them.",
    estimated: "Estimated: the provider reported none, so they were counted here.",
    none: "The provider reported none.",
  }
  return `${words[source] ?? `Source: ${source}.`}${isMismatch ? " Classes and the provider's own total do not agree." : ""}`
}

function Attempts({ record: { attempts } }: { record: UsageRecord }) {
  return (
    <ol className="divide-y divide-line text-table">
      {attempts.map((attempt) => (
        <li
          key={`${attempt.started_ms} ${attempt.provider} ${attempt.account}`}
          className="flex flex-wrap justify-between gap-x-4 py-2"
        >
          <span>
            {attempt.provider}
            {attempt.account !== "" && attempt.account !== attempt.provider && `, ${attempt.account}`}{" "}
            <span className="text-ink2">{attempt.model}</span>
          </span>
          <span className="text-ink2">
            {attempt.status === 0 ? "no answer" : `HTTP ${attempt.status}`}, {duration(attempt.duration_ms)}
            {attempt.error !== "" && `, ${attempt.error}`}
          </span>
        </li>
      ))}
    </ol>
  )
}
