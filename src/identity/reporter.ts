/**
 * Whose usage a report is: of which organization, project, user and key, and which limits count it. A virtual key reports
 * within what it is bound to; an admin names a project, and a user or key in it.
 */
import type { Sql } from "../platform/postgres.ts"
import { countedApart, countedForUser, NOBODY } from "./counted-apart.ts"
import { type FoundUser, findUser } from "./find-user.ts"
import type { Limit } from "./limit.ts"
import { readLimits, readVirtualKeyById } from "./read-virtual-key.ts"
import type { VirtualKey } from "./virtual-key.ts"

export type Reporter = {
  readonly organizationId: string
  readonly projectId: string
  /** '' where it is nobody's in particular. */
  readonly userId: string
  /** '' where no key stands behind it. */
  readonly keyId: string
  /** Every record carries them. */
  readonly tags: readonly string[]
  readonly limits: readonly Limit[]
}

export type FoundReporter =
  | { readonly kind: "reporter"; readonly reporter: Reporter }
  | {
      readonly kind: "refused"
      readonly isForbidden: boolean
      readonly param: "user" | "key_id"
      readonly message: string
    }

/** The reporter behind a key that names a user; '' names none. `userNamed` finds users of the key's organization. */
export async function keyReporter(
  key: VirtualKey,
  named: string,
  userNamed: (organizationId: string, text: string) => Promise<FoundUser | null>,
): Promise<FoundReporter> {
  const { id: keyId, organizationId, projectId, userId, tags, limits } = key
  const own = { organizationId, projectId, userId, keyId, tags, limits }
  if (named === "") return { kind: "reporter", reporter: own }
  const isBound = userId !== ""
  if (!isBound && !key.mayAttributeUsers) {
    const message = "This key may not name users. An admin allows it by the key's attribute_users."
    return { kind: "refused", isForbidden: true, param: "user", message }
  }
  const user = await userNamed(organizationId, named)
  if (isBound && user?.id !== userId) {
    const message = "This key is bound to a user and reports for that user alone. Leave `user` out."
    return { kind: "refused", isForbidden: true, param: "user", message }
  }
  if (user === null) return unknownUser(named)
  if (isBound) return { kind: "reporter", reporter: own }
  return {
    kind: "reporter",
    reporter: { ...own, userId: user.id, limits: [...countedForUser(limits, user), ...user.limits] },
  }
}

/** The reporter that an admin names in a project; '' names no user, or no key. */
export async function namedReporter(
  sql: Sql,
  place: { readonly organizationId: string; readonly projectId: string },
  named: { readonly user: string; readonly keyId: string },
): Promise<FoundReporter> {
  if (named.keyId !== "") {
    const key = await readVirtualKeyById(sql, named.keyId)
    if (key === null || key.projectId !== place.projectId) {
      const message = `There is no key \`${named.keyId}\` in this project.`
      return { kind: "refused", isForbidden: false, param: "key_id", message }
    }
    return keyReporter({ ...key, mayAttributeUsers: true }, named.user, (organizationId, text) =>
      findUser(sql, organizationId, text),
    )
  }
  const user = named.user === "" ? null : await findUser(sql, place.organizationId, named.user)
  if (named.user !== "" && user === null) return unknownUser(named.user)
  const userId = user?.id ?? ""
  const { organizationId, projectId } = place
  const rows = await readLimits(sql, {
    organization_id: organizationId,
    project_id: projectId,
    user_id: userId,
    id: "",
  })
  const limits = countedApart(rows, { ...place, userId, id: NOBODY })
  return { kind: "reporter", reporter: { organizationId, projectId, userId, keyId: "", tags: [], limits } }
}

function unknownUser(named: string): FoundReporter {
  const message = `There is no enabled user \`${named}\` in this organization. \`user\` takes a user's id or e-mail address.`
  return { kind: "refused", isForbidden: false, param: "user", message }
}
