/** What a call meets at admission, without a network: the limit store behind the guard is away. */
import { expect, it } from "vitest"
import { Admission } from "../../src/admission/admit.ts"
import type { AdmissionStore } from "../../src/admission/limit-store.ts"
import { StoreGuard } from "../../src/admission/store-guard.ts"
import type { StoreGuardOptions } from "../../src/admission/store-guard-options.ts"
import type { StoreFailurePolicy } from "../../src/identity/limit.ts"
import type { VirtualKey } from "../../src/identity/virtual-key.ts"
import { openAiChat } from "../../src/providers/openai-chat.ts"
import type { Route } from "../../src/providers/router.ts"
import { admitCall } from "../../src/proxy/admit-call.ts"
import type { Call } from "../../src/proxy/call.ts"
import type { DataPlane } from "../../src/proxy/data-plane.ts"
import type { Asked } from "../../src/proxy/read-request.ts"
import { refuse } from "../../src/proxy/refuse.ts"
import { limitOf } from "../contract/limit-store.ts"

const awayStore = new Proxy({} as AdmissionStore, {
  get: () => () => Promise.reject(new Error("connection refused")),
})

/** Only what a call needs up to its refusal; the journal fails the test if the call gets that far. */
async function callUnder(onStoreFailure: StoreFailurePolicy) {
  const store = new StoreGuard({
    store: awayStore,
    nowMs: () => Date.now(),
    elapsedMs: () => performance.now(),
    log: { warn() {}, info() {}, error() {} } as StoreGuardOptions["log"],
    proxiesMax: () => 2,
    onOverflow() {},
    isPatient: false,
  })
  const admission = new Admission({ store, nowMs: () => Date.now(), owner: "test", onFault() {} })
  const started: string[] = []
  const plane = {
    admission,
    clock: { nowMs: () => Date.now() },
    bounds: { bodyBytesMax: 1_000, expectedOutputTokens: 10 },
    journal: { isFull: () => false, start: async (id: string) => void started.push(id) },
  } as unknown as DataPlane
  const limits = [limitOf({ id: "lim_day", window: "day", subject: "key_7", onStoreFailure })]
  const written: unknown[] = []
  const response = {
    destroyed: false,
    headersSent: false,
    writeHead: (status: number, headers: string[]) => written.push(status, headers),
    end: (body: string) => written.push(JSON.parse(body)),
  }
  const call = {
    id: "call_1",
    arrivedMs: Date.now(),
    admitted: null,
    response,
    door: { api: "openai" },
    endpoint: { object: null, isMetered: true, dialect: openAiChat },
  } as unknown as Call
  const facts = {
    model: "m",
    isStream: false,
    asksUsage: false,
    outputTokensMax: 5,
    tier: "",
    endCustomer: "",
    conversation: "",
    units: null,
    isFree: false,
  }
  const form = { model: null, isStream: null, contentType: "application/json" }
  const asked: Asked = { kind: "asked", body: Buffer.from("{}"), facts, form }
  const reply = await admitCall(plane, call, { limits } as unknown as VirtualKey, asked, {
    route: { model: "m" } as Route,
    account: { name: "default", secret: null, weight: 1, region: "", limits: [] },
    object: null,
    outputTokensMax: null,
  })
  await store.stop()
  return { reply, call, started, written }
}

it.each<StoreFailurePolicy>(["deny", "local"])(
  "with the limit store away, a call under a limit with `%s` and no recent sight is answered 503, and not journaled",
  async (policy) => {
    const { reply, call, started, written } = await callUnder(policy)
    if (reply.kind !== "refused") throw new Error("the call was admitted")
    expect(reply.reason).toBe("store away")
    expect([call.admitted, started]).toEqual([null, []])
    refuse(call, reply.error)
    const [status, headers, body] = written as [number, string[], { error: Record<string, string> }]
    expect(status).toBe(503)
    expect(headers[headers.indexOf("retry-after") + 1]).toBe("1")
    expect(body.error).toMatchObject({ code: "quota_store_unavailable", type: "api_error", param: null })
    expect(body.error.message).toContain("the daily token limit of key key_7 (limit lim_day)")
    expect(body.error.message).toContain("Retry in 1s")
  },
)
