/** As much of a browser as log-in needs: it keeps cookies by host and says where its requests come from. */

export type Answer = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The parsed body; {} where it is not JSON. */
  readonly body: Record<string, unknown> & { error?: { code: string; message: string; param: string | null } }
}

type Sent = {
  readonly body?: unknown
  /** Replaces or adds; null leaves out what the browser would send. */
  readonly headers?: Readonly<Record<string, string | null>>
}

export class Browser {
  readonly #base: string
  readonly #jar = new Map<string, Map<string, string>>()
  /** Sent with whatever is not GET, once logged in. */
  csrfToken = ""

  /** `base` is where relative paths lead. */
  constructor(base: string) {
    this.#base = base
  }

  /** The cookies that it would send to the base. */
  get cookies(): ReadonlyMap<string, string> {
    return this.#jar.get(new URL(this.#base).host) ?? new Map()
  }

  setCookie(name: string, value: string): void {
    this.#cookiesOf(new URL(this.#base).host).set(name, value)
  }

  get(path: string, headers: Sent["headers"] = {}): Promise<Answer> {
    return this.send("GET", path, { headers })
  }

  post(path: string, body: unknown = {}, headers: Sent["headers"] = {}): Promise<Answer> {
    return this.send("POST", path, { body, headers })
  }

  /** Does not follow redirects. */
  async send(method: string, path: string, { body, headers = {} }: Sent = {}): Promise<Answer> {
    const url = new URL(path, this.#base)
    const cookie = [...this.#cookiesOf(url.host)].map(([name, value]) => `${name}=${value}`).join("; ")
    const usual = {
      ...(cookie === "" ? {} : { cookie }),
      ...(method === "GET" ? {} : { origin: url.origin, "sec-fetch-site": "same-origin" }),
      ...(method === "GET" || this.csrfToken === "" ? {} : { "x-tallygate-csrf": this.csrfToken }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    }
    const sent = Object.entries({ ...usual, ...headers }).flatMap(([name, value]) =>
      value === null ? [] : [[name, value]],
    )
    const response = await fetch(url, {
      method,
      headers: Object.fromEntries(sent) as Record<string, string>,
      redirect: "manual",
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    for (const line of response.headers.getSetCookie()) this.#keep(url.host, line)
    const text = await response.text()
    const isJson = response.headers.get("content-type")?.includes("json") ?? false
    return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : {} }
  }

  /** Follows redirects, across hosts, until one leads to where `isEnd` says; resolves with that place. */
  async follow(path: string, isEnd: (url: URL) => boolean): Promise<{ readonly last: Answer; readonly url: URL }> {
    let url = new URL(path, this.#base)
    for (let hops = 0; hops < 20; hops++) {
      const last = await this.get(url.href)
      const location = last.headers.get("location")
      if (location === null) return { last, url }
      url = new URL(location, url)
      if (isEnd(url)) return { last, url }
    }
    throw new Error(`There were too many redirects, the last to ${url.href}.`)
  }

  /** Logs in and keeps the session's token. */
  async logIn(body: unknown): Promise<Answer> {
    const answer = await this.post("/auth/login", body)
    if (typeof answer.body.csrf_token === "string") this.csrfToken = answer.body.csrf_token
    return answer
  }

  #keep(host: string, line: string): void {
    const [pair = "", ...attributes] = line.split("; ")
    const equals = pair.indexOf("=")
    const cookies = this.#cookiesOf(host)
    const isGone = attributes.some(
      (attribute) => attribute === "Max-Age=0" || /^expires=thu, 01 jan 1970/i.test(attribute),
    )
    if (isGone) cookies.delete(pair.slice(0, equals))
    else cookies.set(pair.slice(0, equals), pair.slice(equals + 1))
  }

  #cookiesOf(host: string): Map<string, string> {
    const cookies = this.#jar.get(host) ?? new Map<string, string>()
    this.#jar.set(host, cookies)
    return cookies
  }
}
