/** Stands in the URL and in the API for "has none", such as calls that no user is named for. */
export const NONE = "(none)"
