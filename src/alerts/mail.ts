/** Sends mail through the configured server. What fails is said by its code alone: a server's words may repeat addresses. */
import type { SendOutcome } from "./deliveries.ts"
import type { MailText } from "./mail-text.ts"

export type MailOptions = {
  /** `smtp://user:password@host:port`, or `smtps:`. */
  readonly smtpUrl: string
  readonly from: string
  readonly timeoutMs: number
}

export const NO_MAIL = "no mail can be sent: alerts.smtp_url and alerts.from are not configured"

/** `id` makes the mail's own id, the same at each attempt, by which programs drop a repeated one. */
export async function sendMail(
  { smtpUrl, from, timeoutMs }: MailOptions,
  id: string,
  recipients: readonly string[],
  mail: MailText,
): Promise<SendOutcome> {
  // Only with the first mail, so that no start waits for it.
  const { createTransport } = await import("nodemailer")
  const url = new URL(smtpUrl)
  const transport = createTransport({
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
  try {
    const sent = await transport.sendMail({ from, to: [...recipients], messageId: `<${id}@tallygate>`, ...mail })
    if (sent.rejected.length === 0) return { kind: "delivered" }
    return {
      kind: "failed",
      reason: `the mail server refused ${sent.rejected.length} of ${recipients.length} recipients`,
    }
  } catch (error) {
    return { kind: "failed", reason: faultOf(error) }
  } finally {
    transport.close()
  }
}

function faultOf(error: unknown): string {
  const { code, responseCode } = error as { code?: unknown; responseCode?: unknown }
  if (typeof responseCode === "number") return `the mail server answered ${responseCode}`
  return typeof code === "string" && /^[A-Z][A-Z0-9_]{1,60}$/.test(code)
    ? `the mail server cannot be used (${code})`
    : "the mail server cannot be used"
}
