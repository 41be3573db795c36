/** No engine runs Compose here: the file is read, and held against what is on the disk and what Tallygate knows. */
import { existsSync, readFileSync } from "node:fs"
import path from "node:path"
import { describe, expect, test } from "vitest"
import { loadConfig } from "../../src/config/load.ts"
import { configSchema } from "../../src/config/schema.ts"
import { DEPLOY, deployText, deployYaml, durationMs, PROJECT } from "./deploy-files.ts"

type Service = {
  readonly image: string
  readonly user?: string
  readonly build?: { readonly context: string; readonly dockerfile: string }
  readonly deploy?: { readonly replicas: number }
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
  readonly secrets?: readonly string[]
  readonly networks: readonly string[]
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck?: { readonly test: readonly string[] }
  readonly stop_grace_period?: string
  readonly read_only: boolean
  readonly restart: string
  readonly cap_drop: readonly string[]
  readonly security_opt: readonly string[]
}
type Compose = {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, null>>
  readonly networks: Readonly<Record<string, { readonly internal?: boolean } | null>>
  readonly secrets: Readonly<Record<string, { readonly environment: string }>>
}

const compose = deployYaml<Compose>("compose.yaml")
const services = Object.entries(compose.services)
const { proxy, balancer, redis } = compose.services
if (proxy === undefined || balancer === undefined || redis === undefined) throw new Error("a service is missing")

/** Ending has its own bound beside the grace: what is left is shipped, parts are closed. */
const CLOSE_MS = 30_000

function exampleVariables(): string[] {
  return [...deployText(".env.example").matchAll(/^([A-Z_]+)=/gm)].map((match) => match[1] ?? "")
}

describe("the Compose file", () => {
  test.each(services)("%s is pinned by version, hardened and checked", (name, service) => {
    expect(service.image).toMatch(/^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?$/)
    expect(service.read_only).toBe(true)
    expect(service.cap_drop).toEqual(["ALL"])
    expect(service.security_opt).toEqual(["no-new-privileges:true"])
    expect(service.restart).toBe("unless-stopped")
    // The proxy's own image says who it is and how it is checked.
    if (name === "proxy") return
    expect(service.user).toMatch(/^[1-9]\d*:\d+$/)
    expect(service.healthcheck?.test[0]).toBe("CMD")
  })

  test("the image that it builds is of this version and from the Dockerfile here", () => {
    const { version } = JSON.parse(readFileSync(path.join(PROJECT, "package.json"), "utf8"))
    expect(proxy.image).toBe(`tallygate:${version}`)
    expect(path.resolve(DEPLOY, proxy.build?.context ?? "")).toBe(PROJECT)
    expect(existsSync(path.join(PROJECT, proxy.build?.dockerfile ?? "none"))).toBe(true)
    expect(proxy.deploy?.replicas).toBeGreaterThanOrEqual(2)
  })

  test("every file that it mounts exists, read-only; every volume, network and secret is declared", () => {
    for (const [name, { volumes = [], networks, secrets = [] }] of services) {
      for (const volume of volumes) {
        const [source = "", , mode] = volume.split(":")
        if (source.startsWith(".")) {
          expect(existsSync(path.resolve(DEPLOY, source)), `${name} mounts ${source}`).toBe(true)
          expect(mode, `${name} mounts ${source}`).toBe("ro")
        } else expect(Object.keys(compose.volumes), name).toContain(source)
      }
      for (const network of networks) expect(Object.keys(compose.networks), name).toContain(network)
      for (const secret of secrets) expect(Object.keys(compose.secrets), name).toContain(secret)
    }
  })

  test("waits only for services that say when they are healthy", () => {
    for (const [name, { depends_on: wanted = {} }] of services) {
      for (const [other, { condition }] of Object.entries(wanted)) {
        expect(condition, `${name} on ${other}`).toBe("service_healthy")
        const isChecked = other === "proxy" || compose.services[other]?.healthcheck !== undefined
        expect(isChecked, `${name} on ${other}`).toBe(true)
      }
    }
  })

  test("publishes the balancer where it is told to, and the monitoring on loopback alone; the stores reach nothing", () => {
    const published = Object.fromEntries(services.flatMap(([name, { ports }]) => (ports ? [[name, ports]] : [])))
    expect(published).toEqual({
      balancer: [expect.stringMatching(/^\$\{TALLYGATE_PUBLISH:-127\.0\.0\.1:8787\}:8080$/)],
      prometheus: ["127.0.0.1:9090:9090"],
      grafana: ["127.0.0.1:3000:3000"],
    })
    expect(compose.networks.stores).toEqual({ internal: true })
    expect(redis.networks).toEqual(["stores"])
    expect(compose.services.postgres?.networks).toEqual(["stores"])
  })

  test("gives calls in flight longer than the drain before it kills, and the balancer no less", () => {
    const { shutdown_grace_ms: graceMs } = configSchema.parse({}).timeouts
    const stopMs = durationMs(proxy.stop_grace_period ?? "10s")
    expect(stopMs).toBeGreaterThan(graceMs + CLOSE_MS)
    expect(durationMs(balancer.stop_grace_period ?? "10s")).toBeGreaterThanOrEqual(stopMs)
  })

  test("asks for nothing that .env.example does not explain, and holds no secret itself", () => {
    const asked = [...deployText("compose.yaml").matchAll(/\$\{([A-Z_]+)/g)].map((match) => match[1] ?? "")
    const needed = [...asked, ...Object.values(compose.secrets).map(({ environment }) => environment)]
    expect([...new Set(needed)].sort()).toEqual(exampleVariables().sort())
    const secretNames = /PASSWORD|KEY/
    for (const [name, { environment = {} }] of services) {
      for (const [variable, value] of Object.entries(environment)) {
        if (secretNames.test(variable)) expect(value, `${name} ${variable}`).toMatch(/^\$\{[A-Z_]+:[?-]\}$/)
      }
    }
    for (const line of deployText(".env.example").split("\n")) {
      if (secretNames.test(line.split("=")[0] ?? "")) expect(line).toMatch(/^(#.*|[A-Z_]+=)$/)
    }
  })

  test("starts Redis so that Tallygate accepts it: nothing is evicted, everything is kept", () => {
    const settings = redis.command?.join(" ") ?? ""
    expect(settings).toContain("--maxmemory-policy noeviction")
    expect(settings).toContain("--appendonly yes")
  })

  test("gives the proxy an environment that is a sound configuration", () => {
    const values: Record<string, string> = { POSTGRES_PASSWORD: "p4ss", TALLYGATE_ADMIN_KEY: "k".repeat(32) }
    const filled = (text: string) => text.replace(/\$\{([A-Z_]+):[?-]\}/g, (_, name: string) => values[name] ?? "")
    const env = Object.fromEntries(Object.entries(proxy.environment ?? {}).map(([name, text]) => [name, filled(text)]))
    const mounted = proxy.volumes?.find((volume) => volume.includes(`:${env.TALLYGATE_CONFIG}:`))?.split(":")[0] ?? ""
    const file = path.resolve(DEPLOY, mounted)
    const loaded = loadConfig({ path: file, env, cwd: DEPLOY })
    if (loaded.kind === "invalid") throw new Error(JSON.stringify(loaded.problems))
    expect(loaded.config).toMatchObject({
      database_url: "postgres://tallygate:p4ss@postgres:5432/tallygate",
      redis_url: "redis://redis:6379",
      admin_key: "k".repeat(32),
    })
  })
})

describe("monitoring", () => {
  type Scrape = {
    job_name: string
    authorization: { credentials_file: string }
    dns_sd_configs: [{ names: string[]; port: number }]
  }
  const {
    scrape_configs: [scrape],
  } = deployYaml<{ scrape_configs: [Scrape] }>("prometheus.yml")

  test("Prometheus finds every proxy by its service's name and port, and has the key that /metrics takes", () => {
    expect(scrape.dns_sd_configs[0].names).toEqual(["proxy"])
    expect(scrape.dns_sd_configs[0].port).toBe(configSchema.parse({}).listen.port)
    const secret = compose.services.prometheus?.secrets?.[0] ?? ""
    expect(scrape.authorization.credentials_file).toBe(`/run/secrets/${secret}`)
    expect(compose.secrets[secret]).toEqual({ environment: "TALLYGATE_ADMIN_KEY" })
    const networks = compose.services.prometheus?.networks ?? []
    expect(networks.every((network) => proxy.networks.includes(network))).toBe(true)
  })

  test("Grafana gets the dashboard's folder, and a data source that is Prometheus", () => {
    const mounts = compose.services.grafana?.volumes ?? []
    const { providers } = deployYaml<{ providers: [{ options: { path: string } }] }>("grafana/dashboards.yml")
    expect(mounts).toContain(`./grafana-dashboard.json:${providers[0].options.path}/grafana-dashboard.json:ro`)
    const { datasources } = deployYaml<{ datasources: [{ type: string; url: string }] }>("grafana/datasource.yml")
    expect(datasources[0]).toMatchObject({ type: "prometheus", url: "http://prometheus:9090" })
    expect(compose.services.prometheus?.ports?.[0]).toMatch(/:9090$/)
  })
})
