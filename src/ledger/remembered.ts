/**
 * Text that was written before and is wanted again: most of a record is what the last record of the same key, model or
 * limit said. Each text is kept by a name with the values that it was made of, and is good only where all are the same.
 */

/** More than the keys, models and limits that are busy at the same time; the names come from callers, so there is a bound. */
const NAMES_MAX = 1_024

export type Writing<Values> = {
  readonly isSame: (known: Values, values: Values) => boolean
  /** The values alone, apart from the record that they are part of. */
  readonly copy: (values: Values) => Values
  readonly write: (values: Values) => string
}

export class Remembered<Values> {
  readonly #writing: Writing<Values>
  readonly #known = new Map<string, { readonly values: Values; readonly text: string }>()

  constructor(writing: Writing<Values>) {
    this.#writing = writing
  }

  /** The text of these values, remembered by `name`. */
  of(name: string, values: Values): string {
    const known = this.#known.get(name)
    if (known !== undefined && this.#writing.isSame(known.values, values)) return known.text
    // Out of many pieces V8 makes a tree of them, and out of bytes a text in one piece, which is copied faster.
    const text = Buffer.from(this.#writing.write(values)).toString()
    if (this.#known.size >= NAMES_MAX) this.#known.clear()
    this.#known.set(name, { values: this.#writing.copy(values), text })
    return text
  }
}
