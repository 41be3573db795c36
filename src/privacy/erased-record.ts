/** A record as JSON text without whom was erased, for files that no statement reaches; Postgres does the same in `erased_record`. */
import { z } from "zod"
import { customerSubject } from "../identity/counted-apart.ts"
import { tagsWithout } from "../ledger/erased-columns.ts"
import type { Pseudonyms } from "./erasure-list.ts"

const record = z.looseObject({
  organization_id: z.string(),
  user_id: z.string().default(""),
  end_customer: z.string().default(""),
  tags: z.array(z.string()).default([]),
  charges: z.array(z.looseObject({ subject: z.string() })).default([]),
})

/** The text with pseudonyms; the same text where it names nobody who was erased, or is no record. */
export function withoutErased(body: string, pseudonyms: Pseudonyms, erasedUsers: ReadonlySet<string>): string {
  const read = record.safeParse(asJson(body))
  if (!read.success) return body
  const { organization_id, user_id, end_customer, tags, charges } = read.data
  const pseudonym = pseudonyms.of(organization_id, end_customer)
  if (pseudonym === null && !erasedUsers.has(user_id)) return body
  const { conversation: _conversation, metadata: _metadata, client_request_id: _request, ...kept } = read.data
  if (pseudonym === null) return JSON.stringify({ ...kept, tags: [] })
  const subject = customerSubject(end_customer)
  return JSON.stringify({
    ...kept,
    end_customer: pseudonym,
    tags: tagsWithout(tags, end_customer, pseudonym),
    charges: charges.map((charge) => {
      const [own, counted] = charge.subject.split(" ")
      return counted === subject ? { ...charge, subject: `${own} ${pseudonym}` } : charge
    }),
  })
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // What is no JSON is no record, which is what undefined comes to.
    return undefined
  }
}
