/** `tallygate users`: lists, makes, disables and enables users over the admin API of a running Tallygate. */
import { z } from "zod"
import type { Environment } from "../config/interpolate.ts"
import { AdminClient } from "./admin-client.ts"
import { type CommandOutput, type CommandRun, runCommand, toJson } from "./command.ts"
import { alignColumns } from "./text-table.ts"

const user = z.looseObject({
  id: z.string(),
  name: z.string(),
  email: z.string().nullable(),
  external_id: z.string().nullable(),
  disabled_at: z.string().nullable(),
})
type User = z.output<typeof user>

const LIST = {
  name: "users list",
  about: "Lists users. Service accounts are no users: nobody logs in as one.",
  options: { project: { type: "string", value: "ID", text: "only members of this project" } },
} as const

/** Runs the command with the arguments that follow `users list`; resolves with the exit code. */
export function runUsersList(
  args: readonly string[],
  env: Environment,
  _cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(LIST, args, out, async ({ values, isJson }) => {
    const users = await new AdminClient(env).askAll(user, "/admin/v1/users", { project_id: values.project })
    const head = ["id", "name", "e-mail", "external id", "state"]
    if (isJson) out.stdout.write(toJson({ data: users }))
    else if (users.length === 0) out.stdout.write("There is no user.\n")
    else out.stdout.write(`${alignColumns([head, ...users.map(userCells)]).join("\n")}\n`)
    return 0
  })
}

function userCells({ id, name, email, external_id, disabled_at }: User): string[] {
  return [id, name, email ?? "-", external_id ?? "-", disabled_at === null ? "active" : `disabled since ${disabled_at}`]
}

const CREATE = {
  name: "users create",
  about: "Makes a user, to whom keys are bound and whose usage is told apart.",
  options: {
    email: { type: "string", value: "ADDRESS", text: "by which the user logs in and is written to" },
    "external-id": { type: "string", value: "ID", text: "the user's id in your own systems" },
    project: {
      type: "string",
      multiple: true,
      value: "ID",
      text: "a project to be a member of; several times for several",
    },
  },
  words: { text: "NAME", min: 1, max: 1 },
} as const

/** Runs the command with the arguments that follow `users create`; resolves with the exit code. */
export function runUsersCreate(
  args: readonly string[],
  env: Environment,
  _cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(CREATE, args, out, async ({ values, words: [name = ""], isJson }) => {
    const { email, "external-id": external_id, project: project_ids } = values
    const wanted = { name, email, external_id, project_ids }
    const made = await new AdminClient(env).ask(user, "POST", "/admin/v1/users", wanted)
    if (isJson) out.stdout.write(toJson(made))
    else out.stdout.write(`User ${made.id} (${made.name}) is made.\n`)
    return 0
  })
}

const DISABLE = {
  name: "users disable",
  about: "Disables a user: the user's keys are refused and sessions end, until the user is enabled again.",
  options: {},
  words: { text: "ID", min: 1, max: 1 },
} as const

const ENABLE = {
  name: "users enable",
  about: "Enables a user that was disabled: the user's keys work again.",
  options: {},
  words: { text: "ID", min: 1, max: 1 },
} as const

/** Run the command with the arguments that follow `users disable` or `users enable`; resolve with the exit code. */
export const runUsersDisable = switching(DISABLE, true)
export const runUsersEnable = switching(ENABLE, false)

function switching(shape: typeof DISABLE | typeof ENABLE, disabled: boolean): CommandRun {
  return (args, env, _cwd, out) =>
    runCommand(shape, args, out, async ({ words: [id = ""], isJson }) => {
      const route = `/admin/v1/users/${encodeURIComponent(id)}`
      const changed = await new AdminClient(env).ask(user, "PATCH", route, { disabled })
      if (isJson) out.stdout.write(toJson(changed))
      else out.stdout.write(`User ${changed.id} (${changed.name}) is ${disabled ? "disabled" : "enabled"}.\n`)
      return 0
    })
}
