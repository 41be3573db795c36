/** Postgres whose answers a test may keep back: the statement has been done, and the news of it comes when the test says so. */
import type { Sql } from "../../src/platform/postgres.ts"

export type Held = {
  /** Resolves when Postgres has answered. */
  readonly answered: Promise<void>
  /** Passes the answer on. */
  release(): void
}

export type HeldAnswers = {
  readonly sql: Sql
  /** Keeps back the answer to the next statement with this text. */
  hold(text: string): Held
}

type Waiting = { readonly text: string; readonly answered: () => void; readonly released: Promise<void> }

export function holdAnswers(sql: Sql): HeldAnswers {
  const waiting: Waiting[] = []
  const apply = (target: Sql, self: unknown, args: [TemplateStringsArray | string, ...unknown[]]) => {
    const query = Reflect.apply(target, self, args)
    const text = typeof args[0] === "string" ? "" : (args[0].raw?.join("") ?? "")
    const at = waiting.findIndex((held) => text.includes(held.text))
    const [held] = at === -1 ? [] : waiting.splice(at, 1)
    if (held === undefined) return query
    return Promise.resolve(query).then(async (rows) => {
      held.answered()
      await held.released
      return rows
    })
  }
  return {
    sql: new Proxy(sql, { apply }),
    hold(text) {
      const answered = Promise.withResolvers<void>()
      const released = Promise.withResolvers<void>()
      waiting.push({ text, answered: answered.resolve, released: released.promise })
      return { answered: answered.promise, release: released.resolve }
    },
  }
}
