/** `tallygate keys`: lists, makes, rotates and revokes virtual keys over the admin API of a running Tallygate. */
import { z } from "zod"
import type { Environment } from "../config/interpolate.ts"
import { AdminClient } from "./admin-client.ts"
import { type CommandOutput, runCommand, toJson, WrongUsage } from "./command.ts"
import { readInstant, readSpan } from "./instant.ts"
import { alignColumns } from "./text-table.ts"

const limit = z.looseObject({ kind: z.string(), window: z.string(), cap: z.union([z.string(), z.number()]) })
const key = z.looseObject({
  id: z.string(),
  name: z.string(),
  project_id: z.string(),
  user_id: z.string().nullable(),
  last4: z.string(),
  expires_at: z.string().nullable(),
  revoked_at: z.string().nullable(),
  limits: z.array(limit),
})
const keyWithSecret = key.extend({ key: z.string(), previous_valid_until: z.string().nullable().optional() })
type Key = z.output<typeof key>

const LIST = {
  name: "keys list",
  about: "Lists virtual keys with their limits; their secrets are known to nobody any more.",
  options: {
    project: { type: "string", value: "ID", text: "only keys of this project" },
    user: { type: "string", value: "ID", text: "only keys bound to this user" },
  },
} as const

/** Runs the command with the arguments that follow `keys list`; resolves with the exit code. */
export function runKeysList(
  args: readonly string[],
  env: Environment,
  _cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(LIST, args, out, async ({ values, isJson }) => {
    const query = { project_id: values.project, user_id: values.user }
    const keys = await new AdminClient(env).askAll(key, "/admin/v1/keys", query)
    const head = ["id", "name", "project", "user", "ends in", "state", "limits"]
    if (isJson) out.stdout.write(toJson({ data: keys }))
    else if (keys.length === 0) out.stdout.write("There is no key.\n")
    else out.stdout.write(`${alignColumns([head, ...keys.map(keyCells)]).join("\n")}\n`)
    return 0
  })
}

function keyCells(one: Key): string[] {
  const limits = one.limits.map(({ kind, window, cap }) => `${kind}:${window}:${cap}`).join(" ")
  return [one.id, one.name, one.project_id, one.user_id ?? "-", one.last4, stateOf(one), limits || "-"]
}

function stateOf({ revoked_at, expires_at }: Key): string {
  if (revoked_at !== null) return "revoked"
  if (expires_at === null) return "active"
  return Date.parse(expires_at) <= Date.now() ? "expired" : `until ${expires_at}`
}

const CREATE = {
  name: "keys create",
  about: "Makes a virtual key and prints its secret, this once.",
  options: {
    project: { type: "string", value: "ID", text: "the project it belongs to (default: the default project)" },
    user: { type: "string", value: "ID", text: "the user or service account it is bound to" },
    model: { type: "string", multiple: true, value: "GLOB", text: "a model it may call; several times for several" },
    endpoint: { type: "string", multiple: true, value: "GLOB", text: "an endpoint it may use: chat.completions" },
    ip: { type: "string", multiple: true, value: "RANGE", text: "an address or CIDR range it may be used from" },
    tag: { type: "string", multiple: true, value: "TAG", text: "a tag that every call of it carries" },
    limit: {
      type: "string",
      multiple: true,
      value: "KIND:WINDOW:CAP",
      text: "a limit: usd:month:200.00, requests:minute:600, concurrency:none:8",
    },
    "max-cost": { type: "string", value: "USD", text: "what one call may cost at most" },
    expires: { type: "string", value: "DATE", text: "from when on it is refused" },
  },
  words: { text: "NAME", min: 1, max: 1 },
} as const

/** Runs the command with the arguments that follow `keys create`; resolves with the exit code. */
export function runKeysCreate(
  args: readonly string[],
  env: Environment,
  _cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(CREATE, args, out, async ({ values, words: [name = ""], isJson }) => {
    const wanted = {
      name,
      project_id: values.project,
      user_id: values.user,
      allowed_models: values.model,
      allowed_endpoints: values.endpoint,
      ip_allow: values.ip,
      tags: values.tag,
      limits: values.limit?.map(readLimit),
      max_cost_usd: values["max-cost"],
      expires_at: values.expires === undefined ? undefined : isoOf(readInstant("expires", values.expires)),
    }
    const client = new AdminClient(env)
    const made = await client.ask(keyWithSecret, "POST", "/admin/v1/keys", wanted)
    if (isJson) out.stdout.write(toJson(made))
    else out.stdout.write(secretText(made, client.url))
    return 0
  })
}

function readLimit(text: string): object {
  const [, kind, window, cap] = /^([a-z_]+):([a-z_]+):(\d+(?:\.\d+)?)$/.exec(text) ?? []
  if (cap === undefined) throw new WrongUsage(`--limit takes KIND:WINDOW:CAP such as usd:month:200.00, not ${text}`)
  // Money goes as text, so that nothing rounds it.
  return { kind, window, cap: kind === "usd" ? cap : Number(cap) }
}

function secretText({ id, key }: { readonly id: string; readonly key: string }, url: string): string {
  return `Virtual key   ${key}
Id            ${id}

The key is shown this once. With any OpenAI SDK:

  export OPENAI_BASE_URL=${url}/v1 OPENAI_API_KEY=${key}
`
}

const ROTATE = {
  name: "keys rotate",
  about: "Gives a virtual key a new secret and prints it, this once. Limits, usage and id stay.",
  options: {
    overlap: {
      type: "string",
      value: "SPAN",
      text: "how long the old secret goes on working: 30m, 24h, 7d (default: 0)",
    },
  },
  words: { text: "ID", min: 1, max: 1 },
} as const

/** Runs the command with the arguments that follow `keys rotate`; resolves with the exit code. */
export function runKeysRotate(
  args: readonly string[],
  env: Environment,
  _cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(ROTATE, args, out, async ({ values, words: [id = ""], isJson }) => {
    const overlapSeconds = values.overlap === undefined ? 0 : readSpan("overlap", values.overlap) / 1_000
    const client = new AdminClient(env)
    const route = `/admin/v1/keys/${encodeURIComponent(id)}/rotate`
    const rotated = await client.ask(keyWithSecret, "POST", route, { overlap_seconds: overlapSeconds })
    if (isJson) out.stdout.write(toJson(rotated))
    else
      out.stdout.write(`${secretText(rotated, client.url)}\n${oldSecretText(rotated.previous_valid_until ?? null)}\n`)
    return 0
  })
}

function oldSecretText(validUntil: string | null): string {
  return validUntil === null ? "The old secret is refused from now on." : `The old secret works until ${validUntil}.`
}

const REVOKE = {
  name: "keys revoke",
  about: "Revokes a virtual key for good: its calls are refused within a second. What it used stays on record.",
  options: {},
  words: { text: "ID", min: 1, max: 1 },
} as const

/** Runs the command with the arguments that follow `keys revoke`; resolves with the exit code. */
export function runKeysRevoke(
  args: readonly string[],
  env: Environment,
  _cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(REVOKE, args, out, async ({ words: [id = ""], isJson }) => {
    const revoked = await new AdminClient(env).ask(key, "POST", `/admin/v1/keys/${encodeURIComponent(id)}/revoke`)
    if (isJson) out.stdout.write(toJson(revoked))
    else out.stdout.write(`Key ${revoked.id} (${revoked.name}) is revoked.\n`)
    return 0
  })
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString()
}
