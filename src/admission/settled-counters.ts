/**
 * What Redis says that limits have settled in a window that is over, and how it is put right where the ledger says
 * otherwise. Nothing is added to such a counter any more but by calls that began in its window and ended late; it decides
 * of calls only where a rolling window adds it up.
 */
import path from "node:path"
import type { RedisClient } from "../platform/redis.ts"
import { RedisScripts, readScriptFile, redisScript } from "../platform/redis-script.ts"
import type { SettledAmount } from "./limit-store.ts"
import { counterField, OrganizationKeys } from "./redis-keys.ts"

const FOLDER = path.join(import.meta.dirname, "scripts")

export type CounterRepair = Omit<SettledAmount, "window"> & {
  /** What the counter said when it was compared; null where it was not there. */
  readonly before: bigint | null
}

export class SettledCounters {
  readonly #client: RedisClient
  readonly #scripts: RedisScripts
  readonly #repair = redisScript(
    "repair",
    ["clock", "server", "repair"].map((name) => readScriptFile(FOLDER, name)),
  )

  constructor(client: RedisClient) {
    this.#client = client
    this.#scripts = new RedisScripts(client)
  }

  /** What the counters say, in the order asked; null for one that is not there. */
  async read(
    organizationId: string,
    window: string,
    counters: readonly { readonly limitId: string; readonly subject: string }[],
  ): Promise<(bigint | null)[]> {
    const fields = counters.map(({ limitId, subject }) => `${counterField(limitId, subject)}:s`)
    const said = await this.#client.hmget(new OrganizationKeys(organizationId).window(window), ...fields)
    return said.map((digits) => (digits === null ? null : BigInt(digits)))
  }

  /** Puts in what the ledger has settled; returns how many counters still said what they did, -1 while they are filled anew. */
  async repair(organizationId: string, window: string, repairs: readonly CounterRepair[]): Promise<number> {
    const keys = new OrganizationKeys(organizationId)
    const words = repairs.flatMap(({ limitId, subject, before, settled }) => {
      return [counterField(limitId, subject), before === null ? "" : String(before), String(settled)]
    })
    return Number(await this.#scripts.run(this.#repair, 2, [keys.state, keys.window(window), ...words]))
  }
}
