import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { filterList, idsInList } from "../../src/providers/object-list.ts"

const ids = fc.stringMatching(/^[a-z]{1,4}[-_/][A-Za-z0-9]{1,8}$/)
const items = fc.uniqueArray(
  fc.tuple(ids, fc.boolean(), fc.jsonValue()).map(([id, isOwn, extra]) => ({ id, isOwn, extra })),
  { selector: ({ id }) => id, maxLength: 12 },
)

function itemText(id: string, extra: unknown, nameOfId: "id" | "name", indent: number): string {
  return JSON.stringify({ object: "file", text: '],"data":[{"id":"x"}] \\', [nameOfId]: id, extra }, null, indent)
}

describe("a list shown to one caller", () => {
  test("has its own items only, as the provider wrote them, with first and last to match", () => {
    fc.assert(
      fc.property(items, fc.nat(3), fc.boolean(), fc.constantFrom("", " ", "\n\t"), (all, indent, hasMore, space) => {
        const texts = all.map(({ id, extra }) => itemText(id, extra, "id", indent))
        const [first, last] = [all[0]?.id ?? null, all.at(-1)?.id ?? null]
        const head = `{"object":"list","first_id":${JSON.stringify(first)},"data":`
        const body = `${head}[${space}${texts.join(`${space},${space}`)}${space}],"last_id":${JSON.stringify(last)},"has_more":${hasMore}}`
        const own = all.filter(({ isOwn }) => isOwn)
        const list = filterList(Buffer.from(body), (id) => own.some((one) => one.id === id))
        expect(list).toMatchObject({ shown: own.length, lastId: last, hasMore })
        const text = list?.body.toString() ?? ""
        expect(JSON.parse(text)).toEqual({
          object: "list",
          first_id: own[0]?.id ?? null,
          data: own.map(({ id, extra }) => JSON.parse(itemText(id, extra, "id", indent))),
          last_id: own.at(-1)?.id ?? null,
          has_more: hasMore,
        })
        for (const { id, extra } of own) expect(text).toContain(itemText(id, extra, "id", indent))
        if (own.length === all.length) expect(text).toBe(body)
        expect(idsInList(Buffer.from(body))).toEqual(all.map(({ id }) => id))
      }),
      { numRuns: 1_000 },
    )
  })

  test.each(["files", "cachedContents"])(
    "of Google's %s goes by names, and keeps the token of the next page",
    (member) => {
      const body = Buffer.from(
        JSON.stringify({ [member]: [{ name: "files/a" }, { name: "files/b" }], nextPageToken: "t" }),
      )
      const list = filterList(body, (id) => id === "files/b")
      expect(JSON.parse(String(list?.body))).toEqual({ [member]: [{ name: "files/b" }], nextPageToken: "t" })
      expect(list).toMatchObject({ shown: 1, lastId: "t", hasMore: true })
      expect(idsInList(body)).toEqual(["files/a", "files/b"])
      const none = filterList(Buffer.from(JSON.stringify({ [member]: [{ name: "files/a" }] })), () => false)
      expect(none).toMatchObject({ shown: 0, lastId: null, hasMore: false })
    },
  )

  test("adds no member that the provider left out, and shows nobody an item without an id", () => {
    const list = filterList(Buffer.from('{"data":[{"id":"a","x":1.0},{"name":"b"},7]}'), () => true)
    expect(list?.body.toString()).toBe('{"data":[{"id":"a","x":1.0}]}')
  })
})

test.each([
  "",
  "nothing",
  "[]",
  "{}",
  '{"data":{}}',
  '{"object":"page","data":[{"id":"a"}]}',
  '{"error":{}}',
  '{"data":[',
  "null",
])("%j is no list", (text) => {
  expect(filterList(Buffer.from(text), () => true)).toBeNull()
  expect(idsInList(Buffer.from(text))).toEqual([])
})
