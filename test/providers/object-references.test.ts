import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { referencedInFields, referencedObjects } from "../../src/providers/object-references.ts"

const NAMES = [
  ...["file_id", "input_file_id", "previous_response_id", "vector_store_id", "container_id", "batch_id"],
  ...["cachedContent", "cached_content", "response_id", "upload_id", "conversation", "container", "training_file"],
]
const LISTS = ["file_ids", "vector_store_ids"]
const OWN_WORDS = new Set([
  "metadata",
  "attributes",
  "input_schema",
  "parameters",
  "schema",
  "input",
  "args",
  "response",
])

const idTexts = fc.stringMatching(/^[a-z]{2,6}[_-][A-Za-z0-9]{1,20}$/)
const planted = fc.oneof(
  fc.tuple(fc.constantFrom(...NAMES), idTexts).map(([name, id]) => ({ id, name, value: id as unknown })),
  fc.tuple(fc.constantFrom(...LISTS), idTexts).map(([name, id]) => ({ id, name, value: ["x", id] as unknown })),
  fc
    .tuple(fc.constantFrom("conversation", "container", "input_reference", "video"), idTexts)
    .map(([name, id]) => ({ id, name, value: { type: "t", id } as unknown })),
)
const words = fc.oneof(fc.string(), fc.constantFrom("a", "content", "messages", "\\", '"'))
const around = fc.array(
  fc.oneof(
    // `zz` stands after it in the object and would replace it.
    words.filter((name) => name !== "zz" && !OWN_WORDS.has(name)).map((name) => ({ kind: "member" as const, name })),
    fc.nat(3).map((before) => ({ kind: "element" as const, before })),
  ),
  { maxLength: 12 },
)

/** The member in an object, that in what stands around it, and so on outwards. */
function buried(name: string, value: unknown, places: readonly { kind: string; name?: string; before?: number }[]) {
  let whole: unknown = { first: { id: "not one" }, [name]: value, z: [["file_id"], {}] }
  for (const place of places) {
    whole =
      place.kind === "member"
        ? { b: "x", [place.name ?? ""]: whole, zz: null }
        : [...Array(place.before).fill({ type: "file_id" }), whole]
  }
  return whole
}

const idsIn = (value: unknown) =>
  referencedObjects(Buffer.from(typeof value === "string" ? value : JSON.stringify(value)))

describe("what a body refers to", () => {
  test("is found at any depth, whatever stands around it", () => {
    fc.assert(
      fc.property(planted, around, fc.nat(2), ({ id, name, value }, places, indent) => {
        const text = JSON.stringify(buried(name, value, places), null, indent)
        const found = idsIn(text.startsWith("[") || text.startsWith("{") ? text : "{}")
        expect(found).toContain(id)
        expect([...found].filter((one) => one !== id && one !== "x")).toEqual([])
      }),
      { numRuns: 3_000 },
    )
  })

  test("is found under a name that is written in escapes", () => {
    fc.assert(
      fc.property(planted, around, fc.nat(), ({ id, name, value }, places, at) => {
        const escaped = [...name]
          .map((letter, index) => {
            const isEscaped = index === at % name.length || (at >> (index % 20)) % 2 === 1
            return isEscaped ? `\\u00${letter.charCodeAt(0).toString(16)}` : letter
          })
          .join("")
        const text = JSON.stringify(buried(name, value, places)).replaceAll(`"${name}"`, `"${escaped}"`)
        expect(idsIn(text)).toContain(id)
      }),
      { numRuns: 1_000 },
    )
  })

  test("is nothing in free text, however much it looks like a reference", () => {
    fc.assert(
      fc.property(planted, fc.nat(2), ({ name, value }, depth) => {
        let text = JSON.stringify({ [name]: value, "file_id ": "x" })
        for (let times = 0; times < depth; times++) text = JSON.stringify({ content: text })
        const body = {
          model: "m",
          messages: [{ role: "user", content: text }, { content: [{ text }, name, "file_id"] }],
        }
        expect(idsIn(body)).toEqual([])
      }),
      { numRuns: 1_000 },
    )
  })

  test("any bytes at all are read without throwing", () => {
    const bits = ['"file_id"', ":", "{", "}", "[", "]", ",", '"', "\\", "\\u0066", '"id"', '"video"', '"x"', " "]
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...bits), { maxLength: 40 }), (parts) => {
        expect(Array.isArray(idsIn(parts.join("")))).toBe(true)
      }),
      { numRuns: 5_000 },
    )
  })
})

test.each<[string, unknown, string[]]>([
  ["an Anthropic document", { content: [{ source: { type: "file", file_id: "file_1" } }] }, ["file_1"]],
  [
    "a container of its own",
    { tools: [{ container: { type: "auto", file_ids: ["file-1", "file-2"] } }] },
    ["file-1", "file-2"],
  ],
  ["an image's mask", { mask: { file_id: "file-1" }, image: [{ file_id: "file-2" }] }, ["file-1", "file-2"]],
  ["nothing before it", { previous_response_id: null, conversation: null, container: "" }, []],
  ["the same one twice", { a: { file_id: "file-1" }, b: { file_id: "file-1" } }, ["file-1"]],
  [
    "a video's source",
    { video: { id: "video_1" }, input_reference: { image_url: "https://x.test/a.png" } },
    ["video_1"],
  ],
  ["an address for a reference", { input_reference: "data:image/png;base64,AA" }, []],
  ["an answer's settings", { conversation: { id: "conv_1", metadata: { id: "mine" } }, id: "x" }, ["conv_1"]],
  ["a number", { file_id: 7, file_ids: [8, null, { id: "x" }] }, []],
])("%s", (_, body, ids) => expect(idsIn(body)).toEqual(ids))

test.each<[string, string[]]>([
  ["https://generativelanguage.googleapis.com/v1beta/files/xyz", ["files/xyz"]],
  ["HTTPS://GenerativeLanguage.googleapis.com/v1beta/files/xyz:download?alt=media", ["files/xyz"]],
  ["https://generativelanguage.googleapis.com/v1beta/files%2Fxyz", ["files/xyz"]],
  ["files/xyz", ["files/xyz"]],
  ["https://generativelanguage.googleapis.com/else", ["https://generativelanguage.googleapis.com/else"]],
  ["gs://bucket/files/xyz", []],
  ["https://www.youtube.com/watch?v=1", []],
  ["https://storage.googleapis.com/bucket/files/xyz", []],
])("Google's file %s", (uri, ids) => {
  for (const name of ["fileUri", "file_uri"])
    expect(idsIn({ contents: [{ parts: [{ fileData: { [name]: uri } }] }] })).toEqual(ids)
})

test("what the caller words itself is passed over, and what stands beside it is not", () => {
  const mine = { file_id: "x", conversation: "x", container: { id: "x" }, deep: [{ file_ids: ["x"] }] }
  const body = {
    metadata: mine,
    tools: [{ input_schema: { properties: mine } }, { parameters: mine }],
    input: [{ type: "tool_use", input: mine, content: [{ file_id: "file-1" }] }],
    contents: [{ functionCall: { args: mine }, functionResponse: { response: mine, parts: [{ file_id: "file-2" }] } }],
    container: "cntr_1",
  }
  expect(idsIn(body)).toEqual(["file-1", "file-2", "cntr_1"])
  // What the model is asked is no tool's input.
  expect(idsIn({ input: { content: [{ file_id: "file-1" }] }, args: { file_id: "file-2" } })).toEqual([
    "file-1",
    "file-2",
  ])
})

test("of a member that stands twice both count, and so does one in JSON that only some can read", () => {
  expect(idsIn('{"file_id":"file-1","file_id":"file-2"}')).toEqual(["file-1", "file-2"])
  expect(idsIn('{"temperature":NaN,"file_id":"file-1",}')).toEqual(["file-1"])
  expect(idsIn('\ufeff {"file_id" :\n"file-1"')).toEqual(["file-1"])
  expect(idsIn('--boundary "file_id":"file-1"')).toEqual([])
  expect(idsIn("")).toEqual([])
})

test("a thousand objects are as many as a request may name", () => {
  const ids = Array.from({ length: 1_001 }, (_, index) => `file-${index}`)
  expect(idsIn({ file_ids: ids.slice(1) })).toHaveLength(1_000)
  expect(idsIn({ file_ids: ids })).toBe("too many")
})

test("a form's fields are read by the same names", () => {
  const found = referencedInFields([
    { name: "prompt", value: '{"file_id":"x"}' },
    { name: "metadata[file_id]", value: "x" },
    { name: "file_ids[]", value: "file-1" },
    { name: "image[0][file_id]", value: "file-2" },
    { name: "conversation[id]", value: "conv_1" },
    { name: "input_reference", value: ' {"file_id":"file-3"}' },
    { name: "file_ids", value: '["file-4"]' },
    { name: "container", value: "cntr_1" },
  ])
  expect(found).toEqual(["file-1", "file-2", "conv_1", "file-3", "file-4", "cntr_1"])
})

test("a deep or a long body costs time by its length only", () => {
  const deep = `{"file_id":${'{"a":['.repeat(500_000)}`
  const slashes = `{"a":"${"\\\\".repeat(1_000_000)}","file_id":"file-1"}`
  const beganAtMs = performance.now()
  expect(idsIn(deep)).toEqual([])
  expect(idsIn(slashes)).toEqual(["file-1"])
  expect(performance.now() - beganAtMs).toBeLessThan(5_000)
})
