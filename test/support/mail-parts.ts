/** Reads mails as they came over the wire (RFC 2045): just enough for what nodemailer writes. */

/** The decoded text of the part with this type. @throws Error where there is none */
export function mailPart(raw: string, type: string): string {
  const at = raw.search(new RegExp(`^content-type: ${type}`, "im"))
  if (at < 0) throw new Error(`The mail has no part of the type ${type}.`)
  const [, head = "", rest = ""] = /^([\s\S]*?)\r?\n\r?\n([\s\S]*)$/.exec(raw.slice(at)) ?? []
  const body = rest.split(/\r?\n--/)[0] ?? ""
  const before = raw.slice(raw.lastIndexOf("\n--", at) + 1, at)
  const encoding = /^content-transfer-encoding: (\S+)/im.exec(before + head)?.[1]?.toLowerCase() ?? "7bit"
  if (encoding === "base64") return Buffer.from(body, "base64").toString()
  return encoding === "quoted-printable" ? fromQuotedPrintable(body) : body
}

function fromQuotedPrintable(text: string): string {
  const bytes = text
    .replace(/=\r?\n/g, "")
    .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(bytes, "latin1").toString()
}
