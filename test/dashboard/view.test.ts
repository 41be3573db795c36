/** The URL is the view: what it says is asked, what it does not say is the default, and nothing else is in it. */
import { describe, expect, test } from "vitest"
import { namedColumns, ticksUpTo } from "../../src/dashboard/charts/ticks.ts"
import { type SlotMemory, slotsOf } from "../../src/dashboard/view/slots.ts"
import { carried, filterQuery, readView, withNames } from "../../src/dashboard/view/view.ts"

const search = (text: string) => new URLSearchParams(text)

describe("a view", () => {
  test("unknown names and values of a URL from elsewhere fall back to the defaults", () => {
    const view = readView(
      search("range=fortnight&compare=x&measure=%3Cscript%3E&by=model,nonsense&bucket=second&foo=1"),
    )
    expect(view).toMatchObject({
      range: "this_month",
      compare: "weeks",
      measure: "spend",
      by: ["model"],
      bucket: "auto",
    })
  })

  test("two ends take the place of a named range", () => {
    const view = readView(search("from=2026-11-01&until=2026-11-07&range=7d"))
    expect(view.range).toBeNull()
    expect(filterQuery(view)).toMatchObject({ range: null, from: "2026-11-01", until: "2026-11-07" })
  })

  test("several values of a filter are asked with commas, as the API takes them", () => {
    const view = readView(search("model=gpt-5,claude-opus-5&key=(none)&unpriced=true"))
    expect(filterQuery(view)).toMatchObject({ model: "gpt-5,claude-opus-5", key: "(none)", unpriced: true })
  })

  test("defaults and empty values leave the URL", () => {
    const next = withNames(search("range=7d&measure=tokens&key=k"), {
      range: "this_month",
      measure: "spend",
      key: null,
    })
    expect(next.toString()).toBe("")
  })

  test("range, zone and filters go along to another page; what belongs to one page stays", () => {
    const here = search("range=7d&time_zone=UTC&project=p&after=x&row=y&by=model&view=table")
    expect(carried(here, true).toString()).toBe("range=7d&time_zone=UTC&project=p")
    expect(carried(here, false).toString()).toBe("range=7d&time_zone=UTC")
  })
})

describe("colours", () => {
  const memory = (): SlotMemory => {
    const kept = new Map<string, Readonly<Record<string, string>>>()
    return {
      read: (dimension) => kept.get(dimension) ?? {},
      write: (dimension, slots) => void kept.set(dimension, slots),
    }
  }

  test("a name keeps its colour whatever its rank, and when others come before it", () => {
    const browser = memory()
    const first = slotsOf("model", ["claude-sonnet-5", "gpt-5.6-terra", "claude-opus-5"], browser)
    const later = slotsOf("model", ["newcomer", "claude-opus-5", "claude-sonnet-5"], browser)
    expect([...first.values()]).toEqual(["c1", "c2", "c3"])
    expect(later.get("claude-opus-5")).toBe("c3")
    expect(later.get("claude-sonnet-5")).toBe("c1")
    expect(later.get("newcomer")).toBe("c4")
  })

  test("ten names of one chart have ten colours, an eleventh the least used", () => {
    const names = Array.from({ length: 11 }, (_, index) => `key-${index}`)
    const slots = slotsOf("key", names, memory())
    expect(new Set(slots.values()).size).toBe(10)
    expect(slots.get("key-10")).toBe("c1")
  })

  test("each dimension has its own", () => {
    const browser = memory()
    slotsOf("model", ["a", "b"], browser)
    expect(slotsOf("project", ["b"], browser).get("b")).toBe("c1")
  })
})

describe("axes", () => {
  test.each([
    [1_144.58, [0, 500, 1_000, 1_500]],
    [13.2, [0, 5, 10, 15]],
    [0.03, [0, 0.01, 0.02, 0.03]],
    [0, [0, 1]],
  ])("up to %s has the ticks %s", (largest, ticks) => expect(ticksUpTo(largest)).toEqual(ticks))

  test("days are named as far as there is room, the first one always", () => {
    expect(namedColumns(30, 900, 24)).toHaveLength(30)
    expect(namedColumns(30, 250, 24)).toEqual([0, 5, 10, 15, 20, 25])
  })
})
