/**
 * One-dimensional arrays of Postgres in its text form. The driver would ask the server for its array types on every new
 * connection, in a query that nobody awaits: a connection that is cut just then would end the process by an unhandled
 * rejection. Their numbers are the same on every server (catalog `pg_type`), so nothing needs to be asked.
 */

type Read = (text: string) => unknown

const asNumber: Read = (text) => Number(text)
const asText: Read = (text) => text
const asDate: Read = (text) => new Date(text)

/** Number of the array type, and how its elements are read: as the driver reads a single one. */
const ARRAYS: Readonly<Record<string, readonly [oid: number, read: Read]>> = {
  bools: [1000, (text) => text === "t"],
  byteas: [1001, (text) => Buffer.from(text.slice(2), "hex")],
  names: [1003, asText],
  int2s: [1005, asNumber],
  int4s: [1007, asNumber],
  texts: [1009, asText],
  varchars: [1015, asText],
  int8s: [1016, asText],
  float8s: [1022, asNumber],
  oids: [1028, asNumber],
  dates: [1182, asDate],
  timestamptzs: [1185, asDate],
  numerics: [1231, asText],
  uuids: [2951, asText],
  jsonbs: [3807, (text) => JSON.parse(text) as unknown],
}

/** For the driver's option `types`. */
export const ARRAY_TYPES = Object.fromEntries(
  Object.entries(ARRAYS).map(([name, [oid, read]]) => [
    name,
    { to: oid, from: [oid], serialize: writeArray, parse: (text: string) => readArray(text, read) },
  ]),
)

/** The array in Postgres' own text form, elements in quotes. @throws TypeError for an array within it */
export function writeArray(values: unknown): string {
  if (!Array.isArray(values)) return String(values)
  return `{${values.map(writeElement).join(",")}}`
}

function writeElement(value: unknown): string {
  if (value === null || value === undefined) return "NULL"
  if (Array.isArray(value)) throw new TypeError("Arrays within arrays are not sent to Postgres.")
  return `"${elementText(value).replace(/["\\]/g, "\\$&")}"`
}

function elementText(value: NonNullable<unknown>): string {
  if (value instanceof Date) return value.toISOString()
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString("hex")}`
  return typeof value === "object" ? JSON.stringify(value) : String(value)
}

/** An element in quotes, with what is escaped in it, or one without. */
const ELEMENT = /"((?:[^"\\]|\\.)*)"|([^,{}"]+)/gs

/** The elements of a text such as `{a,"b c",NULL}`. @throws RangeError for an array within it */
export function readArray(text: string, read: Read): unknown[] {
  const inner = text.slice(text.indexOf("{") + 1, -1)
  if (inner.startsWith("{")) throw new RangeError("An array within an array came from Postgres.")
  return [...inner.matchAll(ELEMENT)].map(([, quoted, plain]) => {
    if (quoted !== undefined) return read(quoted.replace(/\\(.)/gs, "$1"))
    return plain === undefined || plain === "NULL" ? null : read(plain)
  })
}
