/** The audit row: who changed what, written in the same transaction as the change. Secrets never stand in it. */
import { namedId } from "../platform/ids.ts"
import type { Transaction } from "../platform/postgres.ts"

/** Who acts: an admin key's id, `environment` for the bootstrap key, `first run` for the installation itself. */
export type Actor = { readonly name: string; readonly ip: string }

export async function writeAudit(
  transaction: Transaction,
  actor: Actor,
  entry: { organizationId: string; action: string; subject: string; before: object | null; after: object | null },
): Promise<void> {
  // As text: what is sent as jsonb the driver writes as JSON, which would make a JSON string of it.
  await transaction`
    INSERT INTO audit_log (id, organization_id, actor, ip, action, subject, before, after)
    VALUES (${namedId("aud")}, ${entry.organizationId}, ${actor.name}, ${actor.ip}, ${entry.action}, ${entry.subject},
            ${entry.before === null ? null : JSON.stringify(entry.before)}::text::jsonb,
            ${entry.after === null ? null : JSON.stringify(entry.after)}::text::jsonb)`
}
