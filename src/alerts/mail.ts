/** Sends mail through the configured server. What fails is said by its code alone: a server's words may repeat addresses. */
import type { SendOutcome } from "./deliveries.ts"
import type { MailText } from "./mail-text.ts"
import type { FoundRecipients } from "./recipients.ts"

export type MailOptions = {
  /** `smtp://user:password@host:port`, or `smtps:`. */
  readonly smtpUrl: string
  readonly from: string
  /** Of one exchange with the server, and of all of them together. */
  readonly timeoutMs: number
}

export type WholeMail = MailText & {
  /** Makes the mail's own id, the same at each attempt, by which programs drop a repeated one. */
  readonly id: string
  readonly to: FoundRecipients
  readonly attachment: { readonly filename: string; readonly csv: string } | null
}

export const NO_MAIL = "no mail can be sent: alerts.smtp_url and alerts.from are not configured"

/** Recipients of one exchange: servers take a hundred (RFC 5321, section 4.5.3.1.8). */
const AT_ONCE_MAX = 100

type Sent = { readonly accepted: readonly string[]; readonly failure: string | null }

/** Nobody sees whom else was looked up; addresses that are written down in the channel stand in the mail. */
export async function sendMail(options: MailOptions, mail: WholeMail): Promise<SendOutcome> {
  const transport = await openTransport(options)
  const { id, to, subject, text, html, attachment } = mail
  const all = [...to.named, ...to.lookedUp]
  const header = to.named.length > 0 ? [...to.named] : all.length === 1 ? all : "undisclosed-recipients:;"
  const content = {
    ...{ from: options.from, to: header, messageId: `<${id}@tallygate>`, subject, text, html },
    attachments:
      attachment === null ? [] : [{ filename: attachment.filename, content: attachment.csv, contentType: "text/csv" }],
  }
  const accepted: string[] = []
  let failure: string | null = null
  const deadlineMs = performance.now() + options.timeoutMs
  try {
    for (let from = 0; from < all.length && performance.now() < deadlineMs; from += AT_ONCE_MAX) {
      const some = all.slice(from, from + AT_ONCE_MAX)
      const sent = await sendTo(
        () => transport.sendMail({ ...content, envelope: { from: addressOf(options.from), to: some } }),
        some,
      )
      accepted.push(...sent.accepted)
      failure ??= sent.failure
    }
  } finally {
    transport.close()
  }
  if (accepted.length === all.length) return { kind: "delivered" }
  if (accepted.length === 0) return { kind: "failed", reason: failure ?? "the mail server is too slow" }
  const left = all.length - accepted.length
  return {
    kind: "failed",
    reason: `the mail server took it for all but ${left} of ${all.length} recipients`,
    arrived: accepted,
  }
}

async function openTransport({ smtpUrl, timeoutMs }: MailOptions) {
  // Only with the first mail, so that no start waits for it.
  const { createTransport } = await import("nodemailer")
  const url = new URL(smtpUrl)
  return createTransport({
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port) || (url.protocol === "smtps:" ? 465 : 587),
    secure: url.protocol === "smtps:",
    ...(url.username === ""
      ? {}
      : { auth: { user: decodeURIComponent(url.username), pass: decodeURIComponent(url.password) } }),
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    // Nothing of a message is read from a file or fetched.
    disableFileAccess: true,
    disableUrlAccess: true,
  })
}

async function sendTo(
  exchange: () => Promise<{ readonly rejected: readonly unknown[] }>,
  recipients: readonly string[],
): Promise<Sent> {
  try {
    const rejected = new Set((await exchange()).rejected.map((one) => String(one)))
    return { accepted: recipients.filter((address) => !rejected.has(address)), failure: null }
  } catch (error) {
    return { accepted: [], failure: faultOf(error) }
  }
}

/** `Tallygate <alerts@example.com>` without the name, as envelopes have it. */
function addressOf(from: string): string {
  return /<([^>]+)>/.exec(from)?.[1] ?? from
}

function faultOf(error: unknown): string {
  const { code, responseCode } = error as { code?: unknown; responseCode?: unknown }
  if (typeof responseCode === "number") return `the mail server answered ${responseCode}`
  return typeof code === "string" && /^[A-Z][A-Z0-9_]{1,60}$/.test(code)
    ? `the mail server cannot be used (${code})`
    : "the mail server cannot be used"
}
