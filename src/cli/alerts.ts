/** `tallygate alerts test`: sends a test message to an alert channel over the admin API of a running Tallygate. */
import { z } from "zod"
import type { Environment } from "../config/interpolate.ts"
import { AdminClient } from "./admin-client.ts"
import { CommandError, type CommandOutput, runCommand, toJson } from "./command.ts"

const delivery = z.looseObject({ id: z.string(), state: z.string(), last_error: z.string() })

const TEST = {
  name: "alerts test",
  about: "Sends a test message to an alert channel, now and once, and says whether it arrived.",
  options: {},
  words: { text: "CHANNEL", min: 1, max: 1 },
  exits: "0 it arrived, 1 it did not, or failed",
} as const

/** Runs the command with the arguments that follow `alerts test`; resolves with the exit code. */
export function runAlertsTest(
  args: readonly string[],
  env: Environment,
  _cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(TEST, args, out, async ({ words: [id = ""], isJson }) => {
    const route = `/admin/v1/alert-channels/${encodeURIComponent(id)}/test`
    const told = await new AdminClient(env).ask(delivery, "POST", route)
    const isDelivered = told.state === "delivered"
    if (isJson) out.stdout.write(toJson(told))
    else if (isDelivered) out.stdout.write(`The test message has arrived (${told.id}).\n`)
    else throw new CommandError(`the test message did not arrive: ${told.last_error}`)
    return isDelivered ? 0 : 1
  })
}
