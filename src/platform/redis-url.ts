/** What a Redis URL names: one server, or several nodes of a Cluster with commas between, which no URL parser reads. */

/** One URL for each server. User and password, which may hold commas, end at the last `@`. */
export function nodeUrls(url: string): string[] {
  const [, head = "", hosts = "", rest = ""] = /^([a-z]+:\/\/(?:.*@)?)([^/?#]*)(.*)$/s.exec(url) ?? []
  return hosts.split(",").map((host) => `${head}${host}${rest}`)
}
