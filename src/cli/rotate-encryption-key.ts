/**
 * `tallygate rotate-encryption-key`: encrypts what is stored of providers and alert channels anew under the present encryption key, while
 * proxies that were given both keys go on. All of it or nothing, and as often as one likes.
 */
import { channelSecrets } from "../alerts/channel-rows.ts"
import { openSecretBox } from "../app/encryption-keys.ts"
import { asStartError, StartError } from "../app/start-error.ts"
import type { Environment } from "../config/interpolate.ts"
import type { Config } from "../config/load.ts"
import { type Reencrypted, reencryptAll } from "../identity/provider-account-registry.ts"
import type { SecretBox } from "../platform/secret-box.ts"
import { CommandError, type CommandOutput, runCommand, toJson } from "./command.ts"
import { readConfig } from "./read-config.ts"
import { databaseName, isDatabaseMade, withDatabase } from "./with-database.ts"

const SHAPE = {
  name: "rotate-encryption-key",
  about:
    "Encrypts provider credentials and headers and the secrets of alert channels in the database anew, under\n" +
    "TALLYGATE_ENCRYPTION_KEY (or the file that is configured). The key before it is read from TALLYGATE_ENCRYPTION_KEY_PREVIOUS. Give both to all proxies first, and take\n" +
    "the previous one away afterwards. An embedded database must not be in use by a running Tallygate.",
  options: {},
  exits: "0 everything is under the present key, 1 failed and nothing was changed",
} as const

const ACTOR = { name: "command line", ip: "" }

/** Runs the command with the arguments that follow its name; resolves with the exit code. */
export function runRotateEncryptionKey(
  args: readonly string[],
  env: Environment,
  cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(SHAPE, args, out, async ({ isJson }) => {
    const { config } = readConfig(env, cwd)
    const box = await openBox(config)
    const { current } = box
    if (current === null) {
      throw new CommandError(
        "there is no encryption key to rotate to. Set TALLYGATE_ENCRYPTION_KEY, or encryption_key_file.",
      )
    }
    const done: Reencrypted = isDatabaseMade(config)
      ? await withDatabase(config, (sql) => reencryptAll(sql, box, ACTOR, channelSecrets))
      : { kind: "done", changed: 0, unchanged: 0 }
    if (done.kind === "unreadable") {
      const hint = "Set TALLYGATE_ENCRYPTION_KEY_PREVIOUS to the key that they are under. Nothing was changed."
      throw new CommandError(`some secrets do not open.\n${done.faults.join("\n")}\n${hint}`)
    }
    const { changed, unchanged } = done
    const told = { database: databaseName(config), key_id: current.id, changed, unchanged }
    out.stdout.write(isJson ? toJson(told) : sentence(told))
    return 0
  })
}

/** @throws CommandError where a key file holds no key */
async function openBox(config: Config): Promise<SecretBox> {
  try {
    return await openSecretBox(config)
  } catch (error) {
    const known = asStartError(error)
    throw known instanceof StartError ? new CommandError(known.message, { cause: error }) : error
  }
}

function sentence(told: { database: string; key_id: string; changed: number; unchanged: number }): string {
  const { database, key_id, changed, unchanged } = told
  return `Encrypted anew: ${changed}. Under the key ${key_id} already: ${unchanged}. (${database})\n`
}
