/** A virtual key as the data plane has it, for tests that need no database: it may do everything that is metered. */
import { NO_CAPS } from "../../src/identity/call-caps.ts"
import type { VirtualKey } from "../../src/identity/virtual-key.ts"

export function sampleKey(given: Partial<VirtualKey> = {}): VirtualKey {
  return {
    id: "key_sample000001",
    name: "k",
    organizationId: "org_1",
    projectId: "proj_1",
    userId: "",
    tags: [],
    allowedModels: null,
    allowedEndpoints: null,
    ipAllow: null,
    mayUseUnmetered: false,
    mayAttributeUsers: false,
    caps: NO_CAPS,
    expiresAtMs: null,
    revokedAtMs: null,
    replacedAtMs: null,
    disabled: null,
    limits: [],
    ...given,
  }
}
