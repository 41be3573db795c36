import fc from "fast-check"
import { expect, test } from "vitest"
import { BatchPacker, type JournalRow, readBatches } from "../../src/ledger/journal-batch.ts"

type Given = Pick<JournalRow, "kind" | "id" | "body">

const kinds = fc.constantFrom("s", "e", "d") as fc.Arbitrary<"s" | "e" | "d">
const ids = fc.stringMatching(/^[0-9a-f-]{1,40}$/)
const bodies = fc.oneof(
  fc.json(),
  fc.string({ unit: "binary" }).map((text) => JSON.stringify(text)),
  fc.constant(""),
)
const rows = fc.array(
  fc.tuple(kinds, ids, bodies).map(([kind, id, body]) => ({ kind, id, body })),
  { minLength: 1 },
)

/** Batches of rows with their sequences, packed by one packer. */
function pack(batches: readonly (readonly (Given & { kind: "s" | "e" | "d" })[])[]) {
  const packer = new BatchPacker()
  const bytes: Buffer[] = []
  let seq = 1
  for (const batch of batches) {
    for (const { kind, id, body } of batch) packer.add(kind, id, body)
    bytes.push(Buffer.from(packer.take(seq)))
    seq += batch.length
  }
  return bytes
}

const withSeq = (batches: readonly (readonly Given[])[]) =>
  batches.flat().map((row, index) => ({ seq: index + 1, ...row }))
const read = (bytes: Buffer) => readBatches(bytes).batches.flatMap((batch) => batch.rows)

test("what is packed is read back, whatever the texts are", () => {
  fc.assert(
    fc.property(fc.array(rows, { minLength: 1, maxLength: 5 }), (batches) => {
      const bytes = Buffer.concat(pack(batches))
      expect(readBatches(bytes)).toMatchObject({ used: bytes.length, damagedBytes: 0 })
      expect(read(bytes)).toEqual(withSeq(batches))
    }),
  )
})

test("bytes cut anywhere give the batches that are whole and nothing of the one that is torn", () => {
  fc.assert(
    fc.property(fc.array(rows, { minLength: 1, maxLength: 4 }), fc.nat(), (batches, cut) => {
      const packed = pack(batches)
      const bytes = Buffer.concat(packed)
      const length = cut % bytes.length
      let whole = 0
      for (let end = 0; whole < packed.length; whole++) {
        end += packed[whole]?.length ?? 0
        if (end > length) break
      }
      const found = readBatches(bytes.subarray(0, length))
      expect(found.batches.flatMap((batch) => batch.rows)).toEqual(withSeq(batches.slice(0, whole)))
      expect(found.damagedBytes).toBe(0)
    }),
  )
})

test("a flipped byte costs the batch it stands in and no other", () => {
  fc.assert(
    fc.property(
      fc.array(rows, { minLength: 2, maxLength: 4 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (batches, at, flip) => {
        const packed = pack(batches)
        const hit = at % (packed.length - 1)
        const damaged = packed[hit] ?? Buffer.alloc(0)
        const place = at % damaged.length
        damaged[place] = (damaged[place] ?? 0) ^ flip
        const kept = withSeq(batches).filter(({ seq }) => {
          const before = batches.slice(0, hit).flat().length
          return seq <= before || seq > before + (batches[hit]?.length ?? 0)
        })
        expect(read(Buffer.concat(packed))).toEqual(kept)
        expect(readBatches(Buffer.concat(packed)).damagedBytes).toBe(damaged.length)
      },
    ),
  )
})

test("a line feed in a text does not break a row in two", () => {
  const packer = new BatchPacker()
  packer.add("e", "a", '{\n  "id": "a"\n}')
  expect(read(packer.take(7))).toEqual([{ seq: 7, kind: "e", id: "a", body: '{   "id": "a" }' }])
})
