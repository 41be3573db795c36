/**
 * Token estimates for calls whose provider reported no usage, counted in a worker thread that starts on first use and
 * does not keep the process alive. Where the worker cannot answer (queue full, out of time, dead), the estimate is
 * bytes / 4 and says so; an estimate never fails and never blocks.
 */
import { Worker } from "node:worker_threads"
import type { EstimateAnswer, EstimateTask } from "./estimate-worker.ts"

export type Estimate = {
  /** All of the prompt; pictures and sounds are parts of it. */
  readonly inputTokens: number
  readonly imageInputTokens: number
  readonly audioInputTokens: number
  /** Of the sound that a form brought, for models that are billed by it; 0 of all other requests. */
  readonly audioSeconds: number
  readonly outputTokens: number
  /** Version, family, encoding and factor, such as `v2 claude o200k_base×1.15+3`, or FALLBACK_ESTIMATOR. */
  readonly estimator: string
}

export type EstimateRequest = {
  /** The model that served the call: it chooses encoding and factor. */
  readonly model: string
  /** The body of the request as it came: JSON text or bytes, left unchanged until the estimate is there. */
  readonly messages: string | Uint8Array
  /** What the model wrote, as far as it was delivered. */
  readonly outputText: string
}

export type EstimatorOptions = {
  /** Estimates that may wait for the worker; one more falls back at once. */
  readonly queueMax: number
  /** How long one estimate may take, its wait included; loading the encoding takes 0.3 to 1 s once. */
  readonly timeoutMs: number
  /** The program that counts; tests put one here that dies. */
  readonly workerUrl?: URL
}

export const FALLBACK_ESTIMATOR = "bytes/4"
const BYTES_PER_TOKEN = 4
/** Bodies that may wait for the worker, together. */
const QUEUED_BYTES_MAX = 64 * 1024 * 1024
/** A worker that sits on one task for so long is stuck: the bounds of the tokenizer allow no such task. */
const STUCK_MS = 30_000
/** Pause before the next start of a worker that died without one answer, so that a broken one is not started per call. */
const RESTART_PAUSE_MS = 5_000

type Job = {
  readonly task: EstimateTask
  readonly bytes: number
  readonly timer: NodeJS.Timeout
  resolve(estimate: Estimate): void
  isSettled: boolean
}

export class Estimator {
  readonly #queueMax: number
  readonly #timeoutMs: number
  readonly #workerUrl: URL
  #worker: Worker | null = null
  #hasAnswered = false
  #restartPause: NodeJS.Timeout | null = null
  #waiting: Job[] = []
  /** The one task that the worker has now; those that wait stay here, so that one out of time costs it nothing. */
  #current: Job | null = null
  #stuckTimer: NodeJS.Timeout | null = null
  #queuedBytes = 0
  #lastId = 0
  #isClosed = false

  constructor(options: EstimatorOptions) {
    this.#queueMax = options.queueMax
    this.#timeoutMs = options.timeoutMs
    this.#workerUrl = options.workerUrl ?? new URL("./estimate-worker.ts", import.meta.url)
  }

  /** Estimates prompt and output tokens of a call. Never rejects. */
  estimate(request: EstimateRequest): Promise<Estimate> {
    const { model, messages, outputText } = request
    const bytes = byteLength(messages) + byteLength(outputText)
    const isFull = this.#waiting.length >= this.#queueMax || this.#queuedBytes + bytes > QUEUED_BYTES_MAX
    if (this.#isClosed || isFull || this.#restartPause !== null) {
      return Promise.resolve(fallback({ request: messages, outputText }))
    }
    return new Promise((resolve) => {
      const task = { id: ++this.#lastId, model, request: messages, outputText }
      const timer = setTimeout(() => this.#giveUp(job), this.#timeoutMs).unref()
      const job: Job = { task, bytes, timer, resolve, isSettled: false }
      this.#queuedBytes += bytes
      this.#waiting.push(job)
      this.#advance()
    })
  }

  /** Tokens of one text as the model would count it; bytes / 4 where the worker cannot answer. Never rejects. */
  async count(text: string, model: string): Promise<number> {
    return (await this.estimate({ model, messages: "", outputText: text })).outputTokens
  }

  /** Ends the worker; what still waits falls back, and so does every later estimate. */
  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#restartPause !== null) clearTimeout(this.#restartPause)
    const worker = this.#worker
    this.#dropWorker()
    for (const job of this.#waiting.splice(0)) this.#fallBack(job)
    await worker?.terminate()
  }

  /** Hands the next task to the worker if it has none. */
  #advance(): void {
    if (this.#current !== null) return
    const job = this.#waiting.shift()
    if (job === undefined) return
    try {
      this.#worker ??= this.#start()
      this.#current = job
      this.#worker.postMessage(job.task)
    } catch {
      // No thread to be had, or none that takes messages.
      this.#current = job
      this.#onDeath(this.#worker)
      return
    }
    const worker = this.#worker
    this.#stuckTimer = setTimeout(() => void worker.terminate(), STUCK_MS).unref()
  }

  #start(): Worker {
    // Flags that this process was started with need not suit a thread (`-e` would end it).
    const worker = new Worker(this.#workerUrl, { execArgv: [] })
    this.#hasAnswered = false
    worker.on("message", (answer: EstimateAnswer) => this.#onAnswer(worker, answer))
    // "exit" follows "error" and is what counts; without a listener an error would end this process.
    worker.on("error", () => this.#onDeath(worker))
    worker.on("exit", () => this.#onDeath(worker))
    // Last, since a listener for messages makes the worker hold the process again.
    worker.unref()
    return worker
  }

  #onAnswer(worker: Worker, answer: EstimateAnswer): void {
    const job = this.#current
    if (worker !== this.#worker || job === null || answer.id !== job.task.id) return
    this.#hasAnswered = true
    this.#clearCurrent()
    if (answer.kind === "failed") this.#fallBack(job)
    else this.#settle(job, answer)
    this.#advance()
  }

  /** The task that the worker had falls back; those that wait go to a new worker, if this one ever worked. */
  #onDeath(worker: Worker | null): void {
    if (worker !== this.#worker) return
    const hasWorked = this.#hasAnswered
    this.#dropWorker()
    void worker?.terminate()
    if (hasWorked) {
      this.#advance()
      return
    }
    for (const job of this.#waiting.splice(0)) this.#fallBack(job)
    if (this.#isClosed) return
    this.#restartPause = setTimeout(() => {
      this.#restartPause = null
    }, RESTART_PAUSE_MS).unref()
  }

  #dropWorker(): void {
    const job = this.#current
    this.#worker = null
    this.#hasAnswered = false
    this.#clearCurrent()
    if (job !== null) this.#fallBack(job)
  }

  #clearCurrent(): void {
    this.#current = null
    if (this.#stuckTimer !== null) clearTimeout(this.#stuckTimer)
    this.#stuckTimer = null
  }

  /** Out of time: a waiting task is taken out; the worker's own runs on, since it may be loading the encoding. */
  #giveUp(job: Job): void {
    const at = this.#waiting.indexOf(job)
    if (at !== -1) this.#waiting.splice(at, 1)
    this.#fallBack(job)
  }

  #fallBack(job: Job): void {
    if (!job.isSettled) this.#settle(job, fallback(job.task))
  }

  #settle(job: Job, estimate: Estimate): void {
    if (job.isSettled) return
    job.isSettled = true
    clearTimeout(job.timer)
    this.#queuedBytes -= job.bytes
    const { inputTokens, imageInputTokens, audioInputTokens, audioSeconds, outputTokens, estimator } = estimate
    job.resolve({ inputTokens, imageInputTokens, audioInputTokens, audioSeconds, outputTokens, estimator })
  }
}

function fallback(task: Pick<EstimateTask, "request" | "outputText">): Estimate {
  return {
    inputTokens: Math.ceil(byteLength(task.request) / BYTES_PER_TOKEN),
    imageInputTokens: 0,
    audioInputTokens: 0,
    audioSeconds: 0,
    outputTokens: Math.ceil(byteLength(task.outputText) / BYTES_PER_TOKEN),
    estimator: FALLBACK_ESTIMATOR,
  }
}

function byteLength(text: string | Uint8Array): number {
  return typeof text === "string" ? Buffer.byteLength(text) : text.byteLength
}
