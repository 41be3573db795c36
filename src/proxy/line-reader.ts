/** Cuts an answer in JSON lines into its lines, as it comes; a line that grows beyond a bound is passed over. */

const LINE_BYTES_MAX = 16 * 1024 * 1024
const LINE_FEED = 0x0a

export class LineReader {
  readonly #onLine: (line: string) => void
  #parts: Buffer[] = []
  #bytes = 0

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine
  }

  push(chunk: Buffer): void {
    let from = 0
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      this.#keep(chunk.subarray(from, end))
      this.#take()
      from = end + 1
    }
    if (from < chunk.length) this.#keep(chunk.subarray(from))
  }

  /** The answer is over: what is left is its last line. */
  end(): void {
    this.#take()
  }

  #keep(part: Buffer): void {
    this.#bytes += part.length
    if (this.#bytes > LINE_BYTES_MAX) this.#parts = []
    else this.#parts.push(part)
  }

  #take(): void {
    const line = Buffer.concat(this.#parts).toString("utf8")
    this.#parts = []
    this.#bytes = 0
    if (line.trim() !== "") this.#onLine(line)
  }
}
