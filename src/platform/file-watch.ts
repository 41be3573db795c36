/**
 * Says when files have other content than before. It looks again and again instead of asking the system to tell: an
 * editor that writes in place, one that renames, a network file system and Kubernetes, which swaps a symbolic link to a
 * folder, all look the same to it. A file that is still being written has another content at every look, so a change
 * counts once two looks in a row have seen the same.
 */
import { createHash } from "node:crypto"
import { readFile, stat } from "node:fs/promises"

/** How often files are looked at: a change is told within two of these. */
const LOOK_MS = 1_000
/** What stands for the content of a file that is not there, or cannot be read. */
const ABSENT = "absent"

export type FileWatchOptions = {
  /** The files at the moment, by absolute path; one that joins them is no change. */
  readonly files: () => readonly string[]
  readonly onChange: () => void
  readonly everyMs?: number
}

type Look = { readonly identity: string; readonly content: string }

export class FileWatch {
  readonly #options: FileWatchOptions
  /** The content that was told of last. */
  readonly #told = new Map<string, string>()
  #last = new Map<string, Look>()
  #timer: NodeJS.Timeout | undefined
  #turn: Promise<void> = Promise.resolve()
  #isStopped = false

  constructor(options: FileWatchOptions) {
    this.#options = options
  }

  /** Takes the files as they are; resolves when it has seen them. */
  async start(): Promise<void> {
    await this.look()
    this.#plan()
  }

  /** Resolves when nothing is read any more. */
  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    await this.#turn
  }

  /** Looks once, as the timer does. */
  look(): Promise<void> {
    return this.#inTurn(async () => {
      if ((await this.#look()) && !this.#isStopped) this.#options.onChange()
    })
  }

  /** Takes the files as they are for told, by whoever reads them next for a reason of its own. */
  adopt(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#look()
      for (const [file, { content }] of this.#last) this.#told.set(file, content)
    })
  }

  #inTurn(act: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(act)
    return this.#turn
  }

  #plan(): void {
    if (this.#isStopped) return
    this.#timer = setTimeout(() => void this.look().then(() => this.#plan()), this.#options.everyMs ?? LOOK_MS).unref()
  }

  /** True where a file has another content than was told of, and had it at the look before too. */
  async #look(): Promise<boolean> {
    const seen = new Map<string, Look>()
    for (const file of this.#options.files()) seen.set(file, await lookAt(file, this.#last.get(file)))
    const before = this.#last
    this.#last = seen
    let hasChanged = false
    for (const [file, { content }] of seen) {
      if (!this.#told.has(file)) this.#told.set(file, content)
      if (this.#told.get(file) === content || before.get(file)?.content !== content) continue
      this.#told.set(file, content)
      hasChanged = true
    }
    for (const file of this.#told.keys()) if (!seen.has(file)) this.#told.delete(file)
    return hasChanged
  }
}

/** Reads only what does not look as before: another file in its place, another size, another time of change. */
async function lookAt(file: string, before: Look | undefined): Promise<Look> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true })
    const identity = [dev, ino, size, mtimeNs, ctimeNs].join(" ")
    if (before?.identity === identity) return before
    return {
      identity,
      content: createHash("sha256")
        .update(await readFile(file))
        .digest("base64"),
    }
  } catch {
    // What exactly is wrong with it is told by whoever reads it next.
    return { identity: ABSENT, content: ABSENT }
  }
}
