/** A guard in front of a store with faults, on vitest's fake timers. */
import { vi } from "vitest"
import type { Charge } from "../../src/admission/limit-store.ts"
import { MemoryLimitStore } from "../../src/admission/memory-store.ts"
import { StoreGuard } from "../../src/admission/store-guard.ts"
import type { StoreGuardOptions } from "../../src/admission/store-guard-options.ts"
import { FaultyStore } from "./faulty-store.ts"

export const LEASE_MS = 60_000

export type Guarded = {
  readonly store: FaultyStore
  readonly guard: StoreGuard
  /** Level and members of every line that was logged. */
  readonly logged: [level: string, fields: object][]
  readonly overflowed: string[]
  reserve(id: string, ...charges: Charge[]): ReturnType<StoreGuard["reserve"]>
  /** Reserves until the breaker has opened; the store must be failing already. */
  goAway(charge: Charge): Promise<void>
  /** Lets time pass until the guard asks the store again for everything. */
  comeBack(): Promise<void>
  totals(charge: Charge): Promise<{ settled: bigint; held: bigint }>
}

export function guarded(options: Partial<StoreGuardOptions> = {}, shared?: FaultyStore): Guarded {
  const store = shared ?? new FaultyStore(new MemoryLimitStore(() => Date.now()))
  const logged: Guarded["logged"] = []
  const line = (level: string) => (fields: object) => void logged.push([level, fields])
  const overflowed: string[] = []
  const guard = new StoreGuard({
    store,
    nowMs: () => Date.now(),
    elapsedMs: () => performance.now(),
    log: { warn: line("warn"), info: line("info"), error: line("error") } as StoreGuardOptions["log"],
    proxiesMax: () => 2,
    onOverflow: (organizationId) => void overflowed.push(organizationId),
    // Decisions are what most tests are about, and not the wait before a refusal.
    isPatient: false,
    ...options,
  })
  const reserve = (id: string, ...charges: Charge[]) => guard.reserve(id, "proxy_1", LEASE_MS, charges)
  return {
    store,
    guard,
    logged,
    overflowed,
    reserve,
    async goAway(charge) {
      const lost = Array.from({ length: 5 }, (_, index) => reserve(`lost_${performance.now()}_${index}`, charge))
      await vi.advanceTimersByTimeAsync(200)
      await Promise.all(lost)
      if (!guard.isAway) throw new Error("the breaker did not open")
    },
    async comeBack() {
      store.mode = "ok"
      await vi.advanceTimersByTimeAsync(6_000)
      if (guard.isAway) throw new Error("the guard did not come back")
    },
    async totals(charge) {
      const [state] = await store.read([charge])
      return { settled: state?.settled ?? -1n, held: state?.held ?? -1n }
    },
  }
}
