/**
 * The table of commands: what the command line dispatches by and what its help lists. Each is loaded when it is run, so
 * that no command waits for the code of another.
 */
import type { CommandRun } from "./command.ts"

export type Command = {
  /** One word, or two: `keys create`. */
  readonly name: string
  /** What it does, for the list of commands. */
  readonly summary: string
  readonly load: () => Promise<CommandRun>
}

export const COMMANDS: readonly Command[] = [
  { name: "serve", summary: "start the proxy", load: async () => (await import("./serve.ts")).runServe },
  {
    name: "config check",
    summary: "read the configuration and say what is in it, or what is wrong",
    load: async () => (await import("./config-check.ts")).runConfigCheck,
  },
  {
    name: "config apply",
    summary: "make the organizations, projects and limits that the configuration declares",
    load: async () => (await import("./config-apply.ts")).runConfigApply,
  },
  {
    name: "migrate",
    summary: "bring the database to this version's schema",
    load: async () => (await import("./migrate.ts")).runMigrate,
  },
  {
    name: "rotate-encryption-key",
    summary: "encrypt stored provider credentials under a new key",
    load: async () => (await import("./rotate-encryption-key.ts")).runRotateEncryptionKey,
  },
  {
    name: "backup",
    summary: "write the ledger and the journal to one file",
    load: async () => (await import("./backup.ts")).runBackup,
  },
  {
    name: "restore",
    summary: "put the ledger of a backup into an empty database",
    load: async () => (await import("./restore.ts")).runRestore,
  },
  {
    name: "move",
    summary: "copy the ledger from the embedded database to a Postgres",
    load: async () => (await import("./move.ts")).runMove,
  },
  {
    name: "doctor",
    summary: "look for what is wrong with an installation, and say what mends it",
    load: async () => (await import("./doctor.ts")).runDoctor,
  },
  { name: "keys list", summary: "list virtual keys", load: async () => (await import("./keys.ts")).runKeysList },
  { name: "keys create", summary: "make a virtual key", load: async () => (await import("./keys.ts")).runKeysCreate },
  {
    name: "keys rotate",
    summary: "give a key a new secret",
    load: async () => (await import("./keys.ts")).runKeysRotate,
  },
  {
    name: "keys revoke",
    summary: "revoke a key for good",
    load: async () => (await import("./keys.ts")).runKeysRevoke,
  },
  { name: "users list", summary: "list users", load: async () => (await import("./users.ts")).runUsersList },
  { name: "users create", summary: "make a user", load: async () => (await import("./users.ts")).runUsersCreate },
  {
    name: "users disable",
    summary: "refuse a user's keys",
    load: async () => (await import("./users.ts")).runUsersDisable,
  },
  {
    name: "users export",
    summary: "write down all that stands of a user, or of an end-customer",
    load: async () => (await import("./users-export.ts")).runUsersExport,
  },
  {
    name: "users enable",
    summary: "let them work again",
    load: async () => (await import("./users.ts")).runUsersEnable,
  },
  { name: "usage", summary: "who spent what", load: async () => (await import("./usage.ts")).runUsage },
  {
    name: "usage explain",
    summary: "why a call cost what it cost, line by line",
    load: async () => (await import("./usage-explain.ts")).runUsageExplain,
  },
  {
    name: "budgets",
    summary: "where budgets stand, told by the exit code as well",
    load: async () => (await import("./budgets.ts")).runBudgets,
  },
  {
    name: "alerts test",
    summary: "send a test message to an alert channel",
    load: async () => (await import("./alerts.ts")).runAlertsTest,
  },
  {
    name: "prices list",
    summary: "the prices in force",
    load: async () => (await import("./prices-list.ts")).runPricesList,
  },
  {
    name: "prices explain",
    summary: "what a call would cost, line by line",
    load: async () => (await import("./prices-explain.ts")).runPricesExplain,
  },
  {
    name: "prices check",
    summary: "check price files, and how old they are",
    load: async () => (await import("./prices-check.ts")).runPricesCheck,
  },
  {
    name: "prices import",
    summary: "set prices from a public catalog",
    load: async () => (await import("./prices-import.ts")).runPricesImport,
  },
  {
    name: "prices reprice",
    summary: "price calls again by the prices of now",
    load: async () => (await import("./prices-reprice.ts")).runPricesReprice,
  },
  {
    name: "periods list",
    summary: "the months of an organization, and which are closed",
    load: async () => (await import("./periods.ts")).runPeriodsList,
  },
  {
    name: "periods show",
    summary: "a month's statement",
    load: async () => (await import("./periods.ts")).runPeriodsShow,
  },
  {
    name: "periods close",
    summary: "close a month, after which its statement stays as it is",
    load: async () => (await import("./periods.ts")).runPeriodsClose,
  },
  {
    name: "verify",
    summary: "hold the meter against recorded answers of providers",
    load: async () => (await import("./verify.ts")).runVerify,
  },
]

export type FoundCommand =
  | { readonly kind: "command"; readonly command: Command; readonly rest: readonly string[] }
  /** The first word of several commands, without a second one that is known. */
  | { readonly kind: "group"; readonly name: string; readonly commands: readonly Command[] }
  | { readonly kind: "unknown" }

/** The command that the arguments begin with. */
export function findCommand(args: readonly string[]): FoundCommand {
  const [first = ""] = args
  for (const words of [2, 1]) {
    const command = COMMANDS.find(({ name }) => name === args.slice(0, words).join(" "))
    if (command !== undefined) return { kind: "command", command, rest: args.slice(command.name.split(" ").length) }
  }
  const commands = COMMANDS.filter(({ name }) => name.startsWith(`${first} `))
  if (commands.length > 0) return { kind: "group", name: first, commands }
  return { kind: "unknown" }
}
