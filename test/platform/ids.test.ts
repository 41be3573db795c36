import { expect, test } from "vitest"
import { namedId, randomBase62, toBase62, uuidv7Mint } from "../../src/platform/ids.ts"

test("a UUIDv7 says when it was minted, and no two are alike", () => {
  const mint = uuidv7Mint()
  const ids = Array.from({ length: 5000 }, (_, index) => mint(1_795_480_100_000 + index))
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(new Set(ids).size).toBe(5000)
  expect([...ids].sort()).toEqual(ids)
  expect(Number.parseInt((ids[7] ?? "").replaceAll("-", "").slice(0, 12), 16)).toBe(1_795_480_100_007)
})

test("the random bits differ in every place that is random", () => {
  const mint = uuidv7Mint()
  const ids = Array.from({ length: 600 }, () => mint(0).replaceAll("-", ""))
  for (let place = 13; place < 32; place++)
    expect(new Set(ids.map((id) => id[place])).size, `place ${place}`).toBeGreaterThan(place === 16 ? 3 : 10)
})

test("base62 is uniform enough, and padded", () => {
  const counts = new Map<string, number>()
  for (const letter of randomBase62(62_000)) counts.set(letter, (counts.get(letter) ?? 0) + 1)
  expect(counts.size).toBe(62)
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(250)
  expect(toBase62(0, 6)).toBe("000000")
  expect(toBase62(0xffffffff, 6)).toBe("4gfFC3")
  expect(namedId("key")).toMatch(/^key_[0-9A-Za-z]{12}$/)
})
