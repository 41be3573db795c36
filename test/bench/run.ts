/**
 * `npm run bench`: Tallygate with everything on, against no proxy and a bare one, in interleaved rounds on one machine.
 * Prints tables for docs/performance.md, writes results/latest.json, and fails unless Tallygate's records equal the
 * provider's own account. Options: `--rounds N`, `--quick`, `--only bare,tallygate`.
 */
import { mkdir, writeFile } from "node:fs/promises"
import { cpus } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { startRealPostgres } from "../support/real-postgres.ts"
import { startRealRedis } from "../support/real-redis.ts"
import { type Reconciliation, reconcile } from "./reconcile.ts"
import { markdown } from "./report.ts"
import { FULL_PLAN, QUICK_PLAN, runRounds } from "./rounds.ts"
import {
  announcedPort,
  type Cores,
  directTarget,
  PROJECT_DIR,
  pinCores,
  startBareProxy,
  startScript,
  startTallygate,
  stopScript,
  type Target,
} from "./targets.ts"

const { values: options } = parseArgs({
  options: { rounds: { type: "string" }, quick: { type: "boolean" }, only: { type: "string" } },
})

type Started = { readonly targets: readonly Target[]; readonly upstreamPort: number }

/** Starts what is asked for; what was started is in `closing` even when a later start fails. */
async function start(cores: Cores, closing: (() => Promise<void>)[]): Promise<Started> {
  const isWanted = (name: string): boolean => options.only === undefined || options.only.split(",").includes(name)
  const upstream = startScript(["test/bench/upstream.ts"], cores?.lab, {})
  closing.push(() => stopScript(upstream))
  const upstreamPort = await announcedPort(upstream)
  const targets: Target[] = [directTarget(upstreamPort)]
  const add = (target: Target): void => {
    targets.push(target)
    closing.push(() => target.stop())
  }
  add(await startBareProxy(upstreamPort, cores))
  if (isWanted("tallygate")) {
    const postgres = await startRealPostgres()
    closing.push(() => postgres.stop())
    const redis = await startRealRedis()
    closing.push(() => redis.stop())
    const stores = { databaseUrl: postgres.url, redisUrl: redis.url }
    add(await startTallygate({ name: "tallygate", upstreamPort, ...stores, cores }))
  }
  if (isWanted("tallygate-embedded")) {
    add(await startTallygate({ name: "tallygate-embedded", upstreamPort, databaseUrl: null, redisUrl: null, cores }))
  }
  return { targets, upstreamPort }
}

async function bench(closing: (() => Promise<void>)[]): Promise<boolean> {
  const since = new Date()
  const cores = pinCores()
  const quickOrFull = options.quick === true ? QUICK_PLAN : FULL_PLAN
  const plan = { ...quickOrFull, rounds: Number(options.rounds ?? quickOrFull.rounds) }
  const { targets, upstreamPort } = await start(cores, closing)
  const runs = await runRounds(targets, plan, cores)
  const reconciliations: Reconciliation[] = []
  for (const target of targets) {
    if (target.admin !== null) reconciliations.push(await reconcile(target, upstreamPort, since))
  }
  const machine = { cpu: cpus()[0]?.model ?? "", cores: cpus().length, node: process.version, isPinned: cores !== null }
  const dir = join(PROJECT_DIR, "test/bench/results")
  await mkdir(dir, { recursive: true })
  const result = { at: since.toISOString(), machine, plan, reconciliations, runs }
  await writeFile(join(dir, "latest.json"), `${JSON.stringify(result, null, 2)}\n`)
  console.log(markdown(runs, reconciliations))
  return reconciliations.every((result) => result.isEqual)
}

const closing: (() => Promise<void>)[] = []
try {
  const isExact = await bench(closing)
  if (!isExact) console.error("The records differ from what the provider served.")
  process.exitCode = isExact ? 0 : 1
} finally {
  for (const close of closing.toReversed()) await close()
}
