/** The shape of what alerts are sent by: the mail server, the dashboard's address for links, and whom webhooks may reach. */
import { z } from "zod"

const SMTP_EXPECTED = "a URL that begins with smtp:// or smtps://, such as smtps://user:password@mail.example.com"
const FROM_EXPECTED = "a mail address, such as alerts@example.com or Tallygate <alerts@example.com>"
const BASE_EXPECTED = "an http or https URL without user, query or fragment"

function isSmtpUrl(value: string): boolean {
  return /^smtps?:\/\/[^/]/.test(value) && URL.canParse(value) && new URL(value).hostname !== ""
}

function isBaseUrl(value: string): boolean {
  if (!/^https?:\/\//.test(value) || !URL.canParse(value)) return false
  const { username, password, search, hash } = new URL(value)
  return username === "" && password === "" && search === "" && hash === ""
}

export const alerts = z
  .strictObject(
    {
      smtp_url: z
        .string({ error: SMTP_EXPECTED })
        .refine(isSmtpUrl, { error: SMTP_EXPECTED })
        .optional()
        .describe("The mail server for alerts, with user and password; smtps begins with TLS; unset sends no mail."),
      from: z
        .string({ error: FROM_EXPECTED })
        .regex(/^(?:[^<>\r\n@]{1,100}<[^<>\s@]+@[^<>\s@]+>|[^<>\s@]+@[^<>\s@]+)$/, { error: FROM_EXPECTED })
        .optional()
        .describe("Whom alerts by mail come from; needed where smtp_url is set."),
      base_url: z
        .string({ error: BASE_EXPECTED })
        .refine(isBaseUrl, { error: BASE_EXPECTED })
        .optional()
        .describe("The address that people reach the dashboard at, for links in alerts; unset leaves them out."),
      allow_private_targets: z
        .boolean({ error: "true or false" })
        .default(false)
        .describe(
          "Lets alert channels reach this machine and private networks; whoever makes channels reaches them too.",
        ),
    },
    { error: "a mapping of keys to values" },
  )
  .refine(({ smtp_url, from }) => smtp_url === undefined || from !== undefined, {
    path: ["from"],
    error: `${FROM_EXPECTED}, because smtp_url is set`,
  })
