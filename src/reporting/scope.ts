/**
 * What whoever asks may see. Every query takes a scope and adds its condition to its own, so that a filter can narrow what
 * is visible and never widen it.
 */

/** `within`: usage of any of these organizations, projects, users or keys; of none of them, nothing. */
export type Scope =
  | { readonly kind: "all" }
  | {
      readonly kind: "within"
      readonly organizationIds: readonly string[]
      readonly projectIds: readonly string[]
      readonly userIds?: readonly string[]
      readonly keyIds?: readonly string[]
    }
