/** The estimator's promise: an answer whatever happens to its worker, and an event loop that never waits for it. */
import { execFile } from "node:child_process"
import { setImmediate as nextTurn } from "node:timers/promises"
import { promisify } from "node:util"
import { afterEach, describe, expect, test, vi } from "vitest"
import { Estimator, type EstimatorOptions, FALLBACK_ESTIMATOR } from "../../src/metering/estimator.ts"
import { openTokenizer } from "../../src/metering/tokenizer.ts"

const REAL_WORKER = new URL("../../src/metering/estimate-worker.ts", import.meta.url)
const opened: Estimator[] = []

function open(options: Partial<EstimatorOptions> = {}): Estimator {
  const estimator = new Estimator({ queueMax: 100, timeoutMs: 20_000, ...options })
  opened.push(estimator)
  return estimator
}

/** A worker made of `body`, which sees each task as `task` and answers through `answer(tokens)`. */
function workerOf(body: string): URL {
  const program = `
    import { parentPort } from "node:worker_threads"
    parentPort.on("message", (task) => {
      const answer = (tokens) => parentPort.postMessage(
        { kind: "estimated", id: task.id, inputTokens: tokens, imageInputTokens: 0, audioInputTokens: 0,
          audioSeconds: 0, outputTokens: tokens, estimator: "stub" })
      ${body}
    })`
  return new URL(`data:text/javascript,${encodeURIComponent(program)}`)
}

const NAME = "v2 openai-4o o200k_base×1+1"
const NO_MEDIA = { imageInputTokens: 0, audioInputTokens: 0, audioSeconds: 0 }

const call = (outputText: string) => ({ model: "gpt-4o", messages: "12345678", outputText })

afterEach(async () => {
  await Promise.all(opened.splice(0).map((estimator) => estimator.close()))
})

describe("what goes wrong with the worker", () => {
  test("a worker that dies on a task costs that task its count, and the next ones are counted again", async () => {
    const estimator = open({ workerUrl: workerOf(`if (task.outputText === "die") process.exit(1); else answer(7)`) })
    expect(await estimator.estimate(call("live"))).toMatchObject({ outputTokens: 7, estimator: "stub" })
    const [dying, waiting] = await Promise.all([estimator.estimate(call("die")), estimator.estimate(call("live"))])
    expect(dying).toMatchObject({ inputTokens: 2, outputTokens: 1, estimator: FALLBACK_ESTIMATOR })
    expect(waiting.estimator).toBe("stub")
    expect(await estimator.count("live", "gpt-4o")).toBe(7)
  })

  test("the real worker is started again after it was killed", async () => {
    // Listens before the real program does, so that it can end the thread instead of it.
    const killer = workerOf(`if (task.outputText === "die") process.exit(1)`)
    const program = `import ${JSON.stringify(killer.href)}; import ${JSON.stringify(REAL_WORKER.href)}`
    const estimator = open({ workerUrl: new URL(`data:text/javascript,${encodeURIComponent(program)}`) })
    expect(await estimator.count("hello world", "gpt-4")).toBe(2)
    expect((await estimator.estimate(call("die"))).estimator).toBe(FALLBACK_ESTIMATOR)
    expect(await estimator.estimate(call("hello world"))).toMatchObject({ outputTokens: 3, estimator: NAME })
  })

  test("a worker that cannot start lets everything fall back, and is not started once per call", async () => {
    const estimator = open({ workerUrl: new URL("data:text/javascript,throw new Error('broken')") })
    const estimates = await Promise.all([estimator.estimate(call("a")), estimator.estimate(call("b"))])
    expect(estimates.map((estimate) => estimate.estimator)).toEqual([FALLBACK_ESTIMATOR, FALLBACK_ESTIMATOR])
    let isSettled = false
    void estimator.estimate(call("c")).then(() => {
      isSettled = true
    })
    // A start would take a thread's time; during the pause the answer is there at once.
    await nextTurn()
    expect(isSettled).toBe(true)
  })

  test("a worker that cannot be found lets the estimate fall back", async () => {
    const estimator = open({ workerUrl: new URL("./no-such-worker.ts", import.meta.url) })
    expect((await estimator.estimate(call("a"))).estimator).toBe(FALLBACK_ESTIMATOR)
  })

  test("a worker that is silent costs no call more than its time", async () => {
    const estimator = open({ timeoutMs: 50, workerUrl: workerOf(`if (task.outputText !== "hang") answer(1)`) })
    const estimates = await Promise.all([estimator.estimate(call("hang")), estimator.estimate(call("behind it"))])
    expect(estimates.map((estimate) => estimate.estimator)).toEqual([FALLBACK_ESTIMATOR, FALLBACK_ESTIMATOR])
  })

  test("a late answer is not taken for the next task's", async () => {
    const late = `setTimeout(() => answer(task.outputText === "slow" ? 111 : 7), task.outputText === "slow" ? 300 : 0)`
    const estimator = open({ timeoutMs: 10_000, workerUrl: workerOf(late) })
    const impatient = open({ timeoutMs: 100, workerUrl: workerOf(late) })
    expect((await impatient.estimate(call("slow"))).estimator).toBe(FALLBACK_ESTIMATOR)
    await vi.waitFor(async () => expect(await impatient.count("quick", "gpt-4o")).toBe(7), { timeout: 10_000 })
    expect(await estimator.count("slow", "gpt-4o")).toBe(111)
  })

  test("one more than the queue holds falls back at once, those in the queue are counted", async () => {
    const estimator = open({ queueMax: 2, workerUrl: workerOf("answer(7)") })
    // One is with the worker, two wait.
    const estimates = await Promise.all(["a", "b", "c", "d"].map((text) => estimator.estimate(call(text))))
    expect(estimates.map((estimate) => estimate.estimator)).toEqual(["stub", "stub", "stub", FALLBACK_ESTIMATOR])
    expect((await estimator.estimate(call("e"))).estimator).toBe("stub")
  })

  test("a process that forgets to close its estimator ends all the same", async () => {
    const source = new URL("../../src/metering/estimator.ts", import.meta.url).href
    const program = `import { Estimator } from ${JSON.stringify(source)}
      const held = setInterval(() => {}, 1_000)
      const estimator = new Estimator({ queueMax: 1, timeoutMs: 20_000 })
      estimator.count("hello world", "gpt-4").then((tokens) => { console.log(tokens); clearInterval(held) })`
    const run = promisify(execFile)
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", program], { timeout: 20_000 })
    expect(stdout).toBe("2\n")
  })

  test("after close everything falls back, what waits included, and closing twice is no fault", async () => {
    const estimator = open({ workerUrl: workerOf("") })
    const waiting = Promise.all([estimator.estimate(call("a")), estimator.estimate(call("b"))])
    await estimator.close()
    await estimator.close()
    expect((await waiting).map((estimate) => estimate.estimator)).toEqual([FALLBACK_ESTIMATOR, FALLBACK_ESTIMATOR])
    expect((await estimator.estimate(call("c"))).estimator).toBe(FALLBACK_ESTIMATOR)
  })
})

describe("what is estimated", () => {
  test("prompt and output of a request, given as text or bytes, with the model's factor", async () => {
    const estimator = open()
    const body = JSON.stringify({ model: "x", messages: [{ role: "user", content: "hello world" }] })
    const expected = { ...NO_MEDIA, inputTokens: 9, outputTokens: 3, estimator: NAME }
    expect(await estimator.estimate({ model: "gpt-4o", messages: body, outputText: "hello world" })).toEqual(expected)
    const bytes = { model: "claude-3-opus", messages: Buffer.from(body), outputText: "hello world" }
    expect(await estimator.estimate(bytes)).toEqual({
      ...{ ...NO_MEDIA, inputTokens: 9, outputTokens: 5, estimator: "v2 claude o200k_base×1.15+3" },
    })
  })

  test("a form's sound is counted by its seconds, not as the text that its bytes are not", async () => {
    const sound = Buffer.alloc(320_000)
    sound.write("RIFF", 0)
    sound.write("WAVE", 8)
    sound.writeUInt32LE(32_000, 28)
    const head = '--b\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    const messages = Buffer.concat([Buffer.from(head), sound, Buffer.from("\r\n--b--\r\n")])
    const estimate = await open().estimate({ model: "whisper-1", messages, outputText: "hello world" })
    expect(estimate.audioSeconds).toBeCloseTo(10, 1)
    expect(estimate).toMatchObject({ inputTokens: 101, audioInputTokens: 101, outputTokens: 2 })
  })

  test("a body that is not JSON is counted as text", async () => {
    const estimator = open()
    const request = { model: "gpt-4o", messages: "{broken hello", outputText: "" }
    const tokens = openTokenizer().countTokens(request.messages, "o200k_base")
    expect(await estimator.estimate(request)).toEqual({
      inputTokens: tokens,
      outputTokens: 0,
      ...NO_MEDIA,
      estimator: NAME,
    })
  })

  test("the event loop runs on while 200,000 letters are counted", async () => {
    const estimator = open()
    let turns = 0
    let isDone = false
    const counting = estimator.count("a".repeat(200_000), "gpt-4o").finally(() => {
      isDone = true
    })
    while (!isDone) {
      await nextTurn()
      turns++
    }
    expect(await counting).toBeGreaterThan(1_000)
    expect(turns).toBeGreaterThan(50)
  })
})
