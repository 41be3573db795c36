import { expect, it } from "vitest"
import { statedBound } from "../../src/admission/stated-bound.ts"
import { limitOf } from "../contract/limit-store.ts"

const bound = (
  overrides: Parameters<typeof limitOf>[0] & { unbounded?: "clamp" | "deny" | "overshoot" },
  isShared: boolean,
) => {
  const { atMost, reasons } = statedBound({ ...limitOf(overrides), ...overrides }, isShared)
  return [atMost, ...reasons]
}

it("is 0 of a hard limit that is counted where it applies, whatever it would do while its store is away", () => {
  for (const onStoreFailure of ["deny", "local", "allow"] as const) {
    expect(bound({ onStoreFailure }, false)).toEqual([0n])
  }
  expect(bound({ onStoreFailure: "deny" }, true)).toEqual([0n])
  expect(bound({ kind: "concurrency", window: "none", onStoreFailure: "deny" }, true)).toEqual([0n])
  expect(bound({ kind: "requests", window: "hour", onStoreFailure: "deny" }, true)).toEqual([0n])
})

it("is once more the cap where proxies share out what they last saw left", () => {
  expect(bound({ cap: 700n, onStoreFailure: "local" }, true)).toEqual([700n, "store_failure"])
})

it("has no figure where calls pass whatever is left, and names every reason", () => {
  expect(bound({ enforcement: "soft" }, false)).toEqual([null, "enforcement"])
  expect(bound({ enforcement: "shadow", onStoreFailure: "allow" }, true)).toEqual([
    null,
    "enforcement",
    "store_failure",
  ])
  expect(bound({ unbounded: "overshoot", onStoreFailure: "deny" }, true)).toEqual([null, "unbounded"])
  expect(bound({ kind: "requests", unbounded: "overshoot" }, false)).toEqual([0n])
  expect(bound({ window: "minute", onStoreFailure: "deny" }, true)).toEqual([null, "likely"])
})

it("is 0 where calls without a bound are lowered or refused", () => {
  expect(bound({ unbounded: "clamp" }, false)).toEqual([0n])
  expect(bound({ unbounded: "deny" }, false)).toEqual([0n])
})
