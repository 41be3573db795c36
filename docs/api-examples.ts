/**
 * What the examples of docs/api.md say: bodies and queries by route, and values by the name of a member. The test of the
 * page sends each example to a running Tallygate.
 */

/** A body, or a query, where a route's example has one. */
export type Example = { readonly body?: unknown; readonly query?: string; readonly headers?: readonly string[] }

const BUDGET: Example = { body: { window: "month", usd: "500.00", tokens: 200_000_000, time_zone: "Europe/Berlin" } }
const REPORT = { provider: "openai", model: "gpt-4o-mini", input_tokens: 1200, output_tokens: 300 }
const PRICE = { provider: "openai", model: "gpt-4o", rates: { standard: { input: "2.2", output: "9" } } }
const CUSTOMER = "organization_id=org_…&end_customer=customer-7"
const RENAMED: Example = { body: { name: "search and ranking" } }
const MONTH_BY_MODEL = "range=this_month&group_by=model"
/** 2026-11-01 in seconds. */
const SINCE = "start_time=1793491200&bucket_width=1d&limit=7"

export const EXAMPLES: Readonly<Record<string, Example>> = {
  "POST /admin/v1/organizations": { body: { name: "Acme", external_id: "acme", time_zone: "Europe/Berlin" } },
  "PATCH /admin/v1/organizations/{id}": { body: { time_zone: "Europe/Zurich" } },
  "POST /admin/v1/projects": { body: { name: "search", client: "Acme Retail", cost_center: "4711" } },
  "PATCH /admin/v1/projects/{id}": {
    body: { max_output_tokens: 4000, key_defaults: { keys_per_member_max: 3, expires_in_days_max: 90 } },
  },
  "GET /admin/v1/users": { query: "q=ada&limit=20" },
  "POST /admin/v1/users": { body: { name: "Ada Lovelace", email: "ada@example.com", project_ids: ["proj_…"] } },
  "PATCH /admin/v1/users/{id}": { body: { name: "Ada King" } },
  "PUT /admin/v1/users/{id}/password": { body: { password: "correct horse battery staple" } },
  "PUT /admin/v1/users/{id}/roles": { body: { role: "admin", scope: { project_id: "proj_…" } } },
  "DELETE /admin/v1/users/{id}/roles": { body: { scope: { project_id: "proj_…" } } },
  "POST /admin/v1/users/import": {
    body: [{ external_id: "e-1002", name: "Grace Hopper", email: "grace@example.com", project_ids: ["proj_…"] }],
  },
  "POST /admin/v1/service-accounts": { body: { name: "nightly jobs", project_ids: ["proj_…"] } },
  "PATCH /admin/v1/service-accounts/{id}": { body: { name: "nightly and weekly jobs" } },
  "POST /admin/v1/keys": {
    body: {
      name: "search team",
      project_id: "proj_…",
      allowed_models: ["gpt-*"],
      limits: [{ kind: "usd", window: "month", cap: "200.00" }],
    },
  },
  "GET /admin/v1/keys": { query: "project_id=proj_…&limit=50" },
  "PATCH /admin/v1/keys/{id}": { body: { max_output_tokens: 4000, tags: ["search"] } },
  "POST /admin/v1/keys/{id}/rotate": { body: { overlap_seconds: 86_400 } },
  "POST /admin/v1/keys/import": {
    body: [{ external_id: "k-1001", name: "ada", project_id: "proj_…", tags: ["search"] }],
  },
  "POST /admin/v1/providers": {
    body: { name: "mistral-eu", dialect: "openai", base_url: "https://api.mistral.ai/v1", priced_as: "mistral" },
  },
  "PATCH /admin/v1/providers/{name}": { body: { region: "eu", models: ["mistral-*"] } },
  "POST /admin/v1/providers/{name}/accounts": { body: { name: "main", api_key: "…", weight: 1 } },
  "PATCH /admin/v1/providers/{name}/accounts/{account}": { body: { weight: 3 } },
  "POST /admin/v1/limits": {
    body: { scope: { project_id: "proj_…" }, kind: "usd", window: "month", cap: "500.00", time_zone: "Europe/Berlin" },
  },
  "GET /admin/v1/limits": { query: "project_id=proj_…" },
  "PATCH /admin/v1/limits/{id}": { body: { cap: "600.00" } },
  "POST /admin/v1/limits/{id}/raises": { body: { cap: "800.00", until: "2026-12-01T00:00:00Z" } },
  "PATCH /admin/v1/organizations/{id}/budget": BUDGET,
  "PATCH /admin/v1/projects/{id}/budget": BUDGET,
  "PATCH /admin/v1/users/{id}/budget": BUDGET,
  "PATCH /admin/v1/keys/{id}/budget": BUDGET,
  "PATCH /admin/v1/providers/{name}/accounts/{account}/budget": BUDGET,
  "GET /admin/v1/budgets/check": { query: "warn_percent=90" },
  "GET /admin/v1/usage/summary": { query: MONTH_BY_MODEL },
  "GET /admin/v1/usage/series": { query: `${MONTH_BY_MODEL}&bucket=day` },
  "GET /admin/v1/usage/records": { query: "range=today&outcome=error&limit=20" },
  "GET /admin/v1/usage/export": { query: "format=csv&view=summary&range=this_month" },
  "GET /admin/v1/usage/stream": { query: "project=proj_…" },
  "GET /admin/v1/usage/projection": { query: "period=month" },
  "POST /admin/v1/usage/records": { body: { ...REPORT, project_id: "proj_…", idempotency_key: "import-0001" } },
  "POST /admin/v1/usage/records/{id}/adjustments": {
    body: { output_tokens: -100, reason: "counted twice", idempotency_key: "fix-1" },
  },
  "PUT /admin/v1/organizations/{id}/price-terms": { body: { markup_percent: "20", discount_percent: "2.5" } },
  "POST /admin/v1/prices": { body: { ...PRICE, source: "contract 17" } },
  "GET /admin/v1/prices": { query: "provider=openai" },
  "POST /admin/v1/prices/{id}/end": { body: { at: "2026-12-31T00:00:00Z" } },
  "POST /admin/v1/prices/import": {
    query: "dry_run=true",
    body: {
      "new-model": {
        litellm_provider: "openai",
        mode: "chat",
        input_cost_per_token: 1.5e-6,
        output_cost_per_token: 6e-6,
      },
    },
  },
  "GET /admin/v1/prices/effective": { query: "provider=openai&model=gpt-4o" },
  "GET /admin/v1/prices/models": { query: "range=this_month" },
  "POST /admin/v1/prices/reprice": { body: { from: "2026-11-01", until: "2026-11-20", dry_run: true } },
  "GET /admin/v1/periods": { query: "organization_id=org_…" },
  "GET /admin/v1/periods/{period}": { query: "organization_id=org_…" },
  "POST /admin/v1/periods/{period}/close": { body: { organization_id: "org_…" } },
  "GET /admin/v1/end-customers/export": { query: CUSTOMER },
  "GET /admin/v1/end-customers/erase": { query: CUSTOMER },
  "POST /admin/v1/end-customers/erase": { body: { organization_id: "org_…", end_customer: "customer-7" } },
  "POST /admin/v1/alert-rules": {
    body: {
      scope: { project_id: "proj_…" },
      kind: "threshold",
      name: "search budget",
      parameters: { thresholds: [50, 80, 100] },
    },
  },
  "PATCH /admin/v1/alert-rules/{id}": RENAMED,
  "POST /admin/v1/alert-channels": {
    body: { scope: { organization_id: "org_…" }, kind: "email", name: "finance", recipients: ["finance@example.com"] },
  },
  "PATCH /admin/v1/alert-channels/{id}": { body: { recipients: ["finance@example.com", "role:billing"] } },
  "GET /admin/v1/alert-deliveries": { query: "state=failed" },
  "POST /admin/v1/digests": { body: { scope: { organization_id: "org_…" }, name: "finance", period: "weekly" } },
  "PATCH /admin/v1/digests/{id}": { body: { schedule: "0 7 * * 1", time_zone: "Europe/Berlin" } },
  "POST /admin/v1/admin-keys": { body: { name: "terraform", role: "admin", scope: { organization_id: "org_…" } } },
  "GET /admin/v1/audit": { query: "actor=environment&limit=20" },
  "POST /auth/login": { body: { email: "ada@example.com", password: "correct horse battery staple" } },
  "POST /auth/password": {
    body: { current: "correct horse battery staple", new: "another long and private phrase" },
  },
  "POST /v1/keys": { body: { name: "laptop", expires_at: "2026-12-31T00:00:00Z" } },
  "POST /v1/keys/{id}/rotate": { body: { overlap_seconds: 3600 } },
  "POST /v1/usage": { body: { ...REPORT, tool: "nightly-summary", idempotency_key: "summary-2026-11-24-0007" } },
  "POST /v1/usage/hold": {
    body: { provider: "acme-video", model: "v2", units: 30, unit_type: "seconds", cost_usd: "1.50", expires_in: 600 },
  },
  "GET /v1/usage/summary": { query: MONTH_BY_MODEL },
  "GET /v1/usage/series": { query: `${MONTH_BY_MODEL}&bucket=day` },
  "GET /v1/usage/records": { query: "range=today" },
  "GET /v1/usage/export": { query: "format=csv&view=records&range=today" },
  "GET /v1/organization/usage/completions": { query: SINCE },
  "GET /v1/organization/usage/embeddings": { query: SINCE },
  "GET /v1/organization/usage/images": { query: SINCE },
  "GET /v1/organization/usage/audio_speeches": { query: SINCE },
  "GET /v1/organization/usage/audio_transcriptions": { query: SINCE },
  "GET /v1/organization/usage/moderations": { query: SINCE },
  "GET /v1/organization/costs": { query: SINCE },
}

/** Ids as the page shows them, by what stands before them in a path or is the name of their schema. */
export const IDS: readonly (readonly [of: RegExp, id: string])[] = [
  [/^terms$|^PriceTerms$/, "trm_…"],
  [/^prices$|^Price$/, "prc_…"],
  [/^period$/, "2026-10"],
  [/organization/i, "org_…"],
  [/admin-?key/i, "akey_…"],
  [/project/i, "proj_…"],
  [/users?$|service-account|actor/i, "user_…"],
  [/keys?$|^CreatedKey/i, "key_…"],
  [/limit|budget/i, "lim_…"],
  [/rule/i, "rule_…"],
  [/channel/i, "chan_…"],
  [/digest/i, "dig_…"],
]
export const RECORD_ID = "019ab4c2-…"

/** Values by the name of a member; the first pattern that fits. */
export const VALUES: readonly (readonly [name: RegExp, value: unknown])[] = [
  [/^(key|secret|signing_secret)$/, "tg_…"],
  [/^(idempotency_key)$/, "import-0001"],
  [/^(email|recipients)$/, "ada@example.com"],
  [/_at$|^at$|^from$|^until$|^time$|^as_of$|_since$|lease_until|valid_until/, "2026-11-24T12:00:00.000Z"],
  [/^time_zone$/, "Europe/Berlin"],
  [/^(cap|cap_usd)$/, "500"],
  [/^(used|settled)$/, "41.2"],
  [/^held$/, "0.8"],
  [/^remaining$/, "458"],
  [/cost|usd|spent|projected|average|^low$|^high$/, "12.34"],
  [/tokens|records|^requests$/, "1200"],
  [/^model/, "gpt-4o-mini"],
  [/^provider/, "openai"],
  [/^(name|display_name|project_name|subject_name)$/, "search"],
  [/^window$/, "month"],
  [/^dialect$/, "openai"],
  [/^base_url$/, "https://api.openai.com/v1"],
  [/^external_id$/, "e-1001"],
  [/^last4$/, "x7Qd"],
  [/^ip$/, "10.0.0.7"],
  [/^action$/, "key.create"],
  [/^currency$/, "usd"],
]

/** Schemas whose members say less than an example. */
export const SCHEMA_SAMPLES: Readonly<Record<string, unknown>> = {
  GrantScope: { project_id: "proj_…" },
  OrganizationScope: { organization_id: "org_…" },
  LimitScope: { project_id: "proj_…" },
  Session: {
    kind: "user",
    name: "user_…",
    display_name: "Ada Lovelace",
    roles: [{ role: "admin", scope: { project_id: "proj_…" } }],
    user_id: "user_…",
    organization_id: "org_…",
    csrf_token: "…",
    expires_at: "2026-11-24T12:00:00.000Z",
  },
  UsageSums: { records: "120", input_uncached_tokens: "84000", output_tokens: "21000", cost_usd: "0.0252" },
  UsageRecord: {
    id: RECORD_ID,
    time: "2026-11-24T12:00:00.000Z",
    kind: "call",
    project_id: "proj_…",
    key_id: "key_…",
    provider: "openai",
    model_served: "gpt-4o-mini",
    input_uncached_tokens: 1200,
    output_tokens: 300,
    cost_usd: "0.00036",
    outcome: "ok",
  },
}
