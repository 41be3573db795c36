/** Looks for a text wherever Tallygate keeps anything: tables, files, logs, Redis. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import path from "node:path"
import { gunzipSync } from "node:zlib"
import type { Sql } from "../../src/platform/postgres.ts"
import type { RedisClient } from "../../src/platform/redis.ts"

/** The words as they stand in texts: as they are, and as JSON writes them, in JSON within JSON too. */
export function formsOf(words: readonly string[]): string[] {
  const quoted = (text: string) => JSON.stringify(text).slice(1, -1)
  const forms = words.flatMap((word) => [word, quoted(word), quoted(quoted(word)), quoted(quoted(quoted(word)))])
  return [...new Set(forms)].map((form) => form.toLowerCase())
}

/** The tables of which a row, all columns as text, holds one of the words, in whatever case. */
export async function tablesHolding(sql: Sql, words: readonly string[]): Promise<string[]> {
  const tables = await sql<{ name: string }[]>`
    SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname`
  const holding: string[] = []
  for (const { name } of tables) {
    // Rows as texts and as JSON: quotes and backslashes are written in another way in each.
    const found = await sql.unsafe(
      `SELECT 1 FROM "${name}" t WHERE EXISTS (SELECT FROM unnest($1::text[]) w
         WHERE position(w IN lower(t::text || to_jsonb(t)::text)) > 0) LIMIT 1`,
      [formsOf(words)],
    )
    if (found.length > 0) holding.push(name)
  }
  return holding
}

/** The files under a folder that hold one of the words, as bytes or, of a gzip file, unpacked. */
export function filesHolding(folder: string, words: readonly string[]): string[] {
  if (!existsSync(folder)) return []
  const forms = formsOf(words)
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => {
    const file = path.join(folder, name)
    if (!statSync(file).isFile()) return false
    const bytes = readFileSync(file)
    const text = (name.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8").toLowerCase()
    return forms.some((form) => text.includes(form))
  })
}

/** The keys of a Redis that hold one of the words in their name or value. */
export async function redisKeysHolding(redis: RedisClient, words: readonly string[]): Promise<string[]> {
  const forms = formsOf(words)
  const holding: string[] = []
  for (const key of await redis.keys("*")) {
    const value = `${key} ${JSON.stringify(await contentOf(redis, key))}`.toLowerCase()
    if (forms.some((form) => value.includes(form))) holding.push(key)
  }
  return holding
}

async function contentOf(redis: RedisClient, key: string): Promise<unknown> {
  switch (await redis.type(key)) {
    case "hash":
      return redis.hgetall(key)
    case "zset":
      return redis.zrange(key, "0", "-1")
    case "set":
      return redis.smembers(key)
    case "list":
      return redis.lrange(key, "0", "-1")
    default:
      return redis.get(key)
  }
}
