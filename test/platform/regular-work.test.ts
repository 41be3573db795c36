import { pino } from "pino"
import { expect, test } from "vitest"
import { RegularWork } from "../../src/platform/regular-work.ts"
import { until } from "../support/test-app.ts"

test("turns never overlap, failing and mending are each told once, and a stop waits for the turn under way", async () => {
  const lines: string[] = []
  const log = pino({}, { write: (line: string) => void lines.push((JSON.parse(line) as { msg: string }).msg) })
  let [turns, atOnce, most] = [0, 0, 0]
  const work = async () => {
    turns += 1
    most = Math.max(most, ++atOnce)
    await new Promise((resolve) => setTimeout(resolve, 15))
    atOnce -= 1
    if (turns <= 3) throw new Error("not yet")
  }
  const regular = new RegularWork({ everyMs: 5, beginsAtOnce: true, work, log, failing: "fails", mended: "goes" })
  regular.start()
  expect(turns).toBe(1)
  await until(async () => (turns >= 6 ? true : undefined))
  await regular.stop()
  const atStop = turns
  expect([atOnce, most, lines]).toEqual([0, 1, ["fails", "goes"]])
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(turns).toBe(atStop)
})
