/**
 * Plays simulated worlds from their seeds. `node test/simulation/run.ts 4711` plays one, and tells what happened in it;
 * `node test/simulation/run.ts 1 20000` plays as many from the first seed on, and stops at the first broken promise.
 */
import { simulate } from "./world.ts"

const [first = "1", count] = process.argv.slice(2)
const beganMs = performance.now()
let admitted = 0
for (let seed = Number(first); seed < Number(first) + Number(count ?? 1); seed += 1) {
  const outcome = await simulate(seed)
  admitted += outcome.admitted
  if (count === undefined || outcome.broken !== null) {
    process.stdout.write(`${outcome.events.join("\n")}\nseed ${seed}: ${outcome.broken ?? "every promise was kept"}\n`)
  }
  if (outcome.broken !== null) process.exit(1)
}
const seconds = ((performance.now() - beganMs) / 1_000).toFixed(1)
process.stdout.write(`${count ?? 1} runs, ${admitted} calls admitted, ${seconds} s\n`)
