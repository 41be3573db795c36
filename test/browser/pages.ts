/** The pages that pictures and the matrix go through, by name and address. */

export type ShownIds = { readonly recordId: string; readonly limitId: string; readonly channelId: string }

export type ShownPage = { readonly name: string; readonly address: string; readonly realm: "admin" | "own" }

/** `recordId` is a request to look at, `limitId` a budget, `channelId` a channel of alerts. */
export function shownPages({ recordId, limitId, channelId }: ShownIds): readonly ShownPage[] {
  const admin = (name: string, address: string): ShownPage => ({ name, address, realm: "admin" })
  return [
    admin("overview", "/overview"),
    admin("usage", "/usage?by=key"),
    admin("usage-tokens-by-class", "/usage?by=token_class&measure=tokens"),
    admin("requests", "/requests?outcome=error,ok"),
    admin("request", `/requests/${recordId}`),
    admin("budgets", "/budgets"),
    admin("budget", `/budgets/${limitId}`),
    admin("create-budget", "/budgets/new"),
    admin("alerts", "/alerts"),
    admin("create-rule", "/alerts/rules/new"),
    admin("alert-history", "/alerts/history"),
    admin("alert-deliveries", "/alerts/deliveries"),
    admin("alert-channels", "/alerts/channels"),
    admin("alert-channel", `/alerts/channels/${channelId}`),
    admin("alert-digests", "/alerts/digests"),
    admin("keys", "/keys"),
    admin("create-key", "/keys/new"),
    admin("projects", "/projects"),
    admin("prices", "/prices"),
    admin("model", "/prices/model?row=anthropic/claude-opus-5"),
    admin("reprice", "/prices/reprice"),
    admin("statement", `/prices/months/${lastMonth()}`),
    { name: "my-usage", address: "/my/usage", realm: "own" },
    { name: "my-keys", address: "/my/keys", realm: "own" },
  ]
}

/** The month before the present one, as its statement's address names it. */
function lastMonth(): string {
  const now = new Date()
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1)).toISOString().slice(0, 7)
}

export const WIDTHS = { desktop: 1440, tablet: 820, phone: 390, "small-phone": 320 } as const
export const THEMES = ["light", "dark"] as const
