/** What `tallygate --help` prints: every command of the table, and what the environment decides. */
import { COMMANDS, type Command } from "./commands.ts"

const ENVIRONMENT = `Configuration: proxy.config.yaml in this folder, or the file that TALLYGATE_CONFIG names.
The environment overrides it:

  PORT, HOST            where to listen (127.0.0.1:8787)
  WORKERS               processes that share the port (1); more need DATABASE_URL and REDIS_URL
  TALLYGATE_CONFIG      the configuration file
  TALLYGATE_DATA        the data folder (.tallygate)
  DATABASE_URL          Postgres 14 or newer, in place of the embedded one
  REDIS_URL             Redis, in place of the in-process limit store
  TALLYGATE_ADMIN_KEY   an admin key of your own, for automation
  OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, …
                        turn that provider on

keys, users and usage ask a running Tallygate:

  TALLYGATE_URL         where it listens (http://127.0.0.1:8787)
  TALLYGATE_ADMIN_KEY   the admin key to ask with
`

/** The help of the whole command line. */
export function helpText(): string {
  return `Tallygate, the OpenAI-compatible metering reverse proxy.

${listCommands(COMMANDS)}
  tallygate COMMAND --help explains one; every command takes --json.
  tallygate --version
  tallygate alone is \`tallygate serve\` (npm start).

${ENVIRONMENT}`
}

/** One line a command. */
export function listCommands(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length))
  return commands.map(({ name, summary }) => `  tallygate ${name.padEnd(width)}  ${summary}\n`).join("")
}
