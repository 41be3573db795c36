/**
 * Limits on an account at a provider. They hold over all organizations, so they stand among counters of their own, under
 * the account's name in the place of an organization's id.
 */

/** The account as limits name it, `<provider>/<account>`, written so that it has no blank and no brace. */
export function accountSubject(provider: string, account: string): string {
  return encodeURI(`${provider}/${account}`)
}

/** The account's name among those who have counters; no organization's id begins like it. */
export function accountCounters(subject: string): string {
  return `acct:${subject}`
}

/** `<provider>/<account>` for people, of a limit's own subject. */
export function shownAccount(subject: string): string {
  return decodeURI(subject)
}
