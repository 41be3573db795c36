/**
 * From a YAML file, the environment and nothing else to one frozen config, or to the list of all that is wrong. The file
 * is optional: without one the defaults and the environment are a complete config, which is what a first run uses.
 */
import { readFileSync, statSync } from "node:fs"
import { dirname, isAbsolute, relative, resolve, sep } from "node:path"
import { encryptionKeyFileInstead, resolveEncryptionKeyFile } from "./encryption-key-file.ts"
import {
  applyOverrides,
  environmentProblem,
  overridingVariable,
  readBuiltInProviders,
  readOverrides,
} from "./environment.ts"
import type { Environment } from "./interpolate.ts"
import { expiredCertificates, listenerProblems, listenersOf, resolveListeners } from "./listeners.ts"
import { type ConfigProblem, describeFound } from "./problem.ts"
import { accountProblems } from "./provider-accounts.ts"
import { findUnknownProviders, isOwnAddress, noteConfig, resolveConfig } from "./resolve.ts"
import { type Config, type ConfigFile, configSchema } from "./schema.ts"
import type { KeyPath } from "./schema-paths.ts"
import { schemaProblems, valueAt } from "./schema-problems.ts"
import { workersInstead } from "./workers.ts"
import { readYaml, type YamlSource } from "./yaml-source.ts"

export { type ConfigProblem, formatProblem } from "./problem.ts"
export type { Config, ProviderConfig, RouteConfig } from "./schema.ts"

const DEFAULT_FILE = "proxy.config.yaml"
const FILE_BYTES_MAX = 1_048_576

export type LoadOptions = {
  /** Takes precedence over TALLYGATE_CONFIG; relative to `cwd`. */
  readonly path?: string
  readonly env: Environment
  readonly cwd: string
}

export type LoadResult =
  /** `path` is absolute, null where there is no file. `notes` are sentences for the operator, without secrets. */
  | {
      readonly kind: "loaded"
      readonly config: Config
      readonly path: string | null
      readonly notes: readonly string[]
    }
  | { readonly kind: "invalid"; readonly problems: readonly ConfigProblem[] }

/** Where the configuration is read from, as an absolute path, whether or not there is a file. */
export function configPath({ path, env, cwd }: LoadOptions): string {
  return resolve(cwd, path ?? (env.TALLYGATE_CONFIG || DEFAULT_FILE))
}

/** Reads and checks the configuration. Throws only where the file system fails in a way that is no operator's mistake. */
export function loadConfig({ path, env, cwd }: LoadOptions): LoadResult {
  const opened = openFile(path ?? (env.TALLYGATE_CONFIG || undefined), cwd)
  if (opened.kind === "unreadable") return { kind: "invalid", problems: [opened.problem] }
  const source = opened.kind === "file" ? opened : { path: null, name: DEFAULT_FILE, text: "" }
  const yaml = readYaml(source.name, source.text, env)
  const overrides = readOverrides(env)
  if (yaml.data === undefined) return invalid([...yaml.problems, ...overrides.problems])

  const file = configSchema.safeParse(yaml.data)
  const refused = schemaProblems(file.error?.issues ?? [], yaml)
  const parsed = configSchema.safeParse(applyOverrides(yaml.data, overrides))
  const problems = [...yaml.problems, ...refused, ...overrides.problems]
  if (!parsed.success || problems.length > 0) return invalid(problems)
  return complete(parsed.data, yaml, { path: source.path, env, cwd })
}

/** What can be checked only once the parts are sound: addresses, files and routes, against one another. */
function complete(
  file: ConfigFile,
  yaml: YamlSource,
  { path, env, cwd }: { path: string | null; env: Environment; cwd: string },
): LoadResult {
  const folder = path === null ? cwd : dirname(path)
  const isOwn = (url: string) => listenersOf(file).some(({ at }) => isOwnAddress(url, at))
  const builtIn = readBuiltInProviders(env, Object.keys(file.providers), isOwn)
  const config = resolveConfig(file, builtIn.providers, {
    dataDir: env.TALLYGATE_DATA ? resolve(cwd, file.data_dir) : resolve(folder, file.data_dir),
    priceFiles: file.prices.files.map((name) => resolve(folder, name)),
    listening: resolveListeners(file, folder),
    encryptionKey: resolveEncryptionKeyFile(file, { env, cwd, folder }),
  })

  const problems: ConfigProblem[] = [...builtIn.problems]
  const refuse = (at: KeyPath, value: unknown, expected: string) => problems.push(yaml.problemAt(at, value, expected))
  for (const [name, provider] of Object.entries(file.providers)) {
    const at = ["providers", name, "base_url"]
    if (isOwn(provider.base_url)) refuse(at, provider.base_url, "the provider's address, not this proxy's own")
  }
  for (const { route, expected } of findUnknownProviders(config)) {
    refuse(["models", route, "provider"], config.models[route]?.provider, expected)
  }
  for (const { at, found, expected } of accountProblems(file, config)) refuse(at, found, expected)
  config.prices.files.forEach((priceFile, index) => {
    if (isFile(priceFile)) return
    refuse(["prices", "files", index], file.prices.files[index], "a file that exists (relative to this file's folder)")
  })
  for (const { path: at, expected } of listenerProblems(config)) refuse(at, valueAt(yaml.data, at), expected)
  const instead = { workers: workersInstead(config), encryption_key_file: encryptionKeyFileInstead(config) }
  for (const key of ["workers", "encryption_key_file"] as const) {
    const expected = instead[key]
    if (expected === null) continue
    const variable = overridingVariable(key, env)
    if (variable === null) refuse([key], file[key], expected)
    else problems.push(environmentProblem(variable, describeFound([key], file[key]), expected))
  }
  if (problems.length > 0) return invalid(problems)
  return {
    kind: "loaded",
    config,
    path,
    notes: [...builtIn.notes, ...noteConfig(config, file.sandbox), ...expiredCertificates(config, Date.now())],
  }
}

/** In the order of the file; what stands at no line comes last. */
function invalid(problems: readonly ConfigProblem[]): LoadResult {
  const lineOf = (problem: ConfigProblem) => problem.line ?? Number.MAX_SAFE_INTEGER
  return { kind: "invalid", problems: problems.toSorted((a, b) => lineOf(a) - lineOf(b)) }
}

type OpenedFile =
  | { readonly kind: "file"; readonly path: string; readonly name: string; readonly text: string }
  | { readonly kind: "none" }
  | { readonly kind: "unreadable"; readonly problem: ConfigProblem }

/** A file that was asked for by name must be there; the default one need not. */
function openFile(asked: string | undefined, cwd: string): OpenedFile {
  const path = resolve(cwd, asked ?? DEFAULT_FILE)
  const name = nameFor(path, cwd)
  const unreadable = (found: string, expected: string): OpenedFile => ({
    kind: "unreadable",
    problem: { file: name, line: null, column: null, path: "", found, expected },
  })
  try {
    const bytes = readFileSync(path)
    if (bytes.byteLength > FILE_BYTES_MAX) return unreadable("a file of over 1 MiB", "a configuration file")
    return { kind: "file", path, name, text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) }
  } catch (cause) {
    const code = codeOf(cause)
    const isMissing = code === "ENOENT" || code === "ENOTDIR"
    if (isMissing && asked === undefined) return { kind: "none" }
    if (isMissing)
      return unreadable("no such file", "the path of a configuration file, from --file or TALLYGATE_CONFIG")
    if (code === "EISDIR") return unreadable("a folder", "a configuration file")
    if (code === "EACCES") return unreadable("a file that this user may not read", "a readable file")
    if (code === "ERR_ENCODING_INVALID_ENCODED_DATA") return unreadable("bytes that are not UTF-8", "text in UTF-8")
    throw new Error(`cannot read ${name}`, { cause })
  }
}

/** As the operator would type it: relative below the working directory, absolute elsewhere. */
function nameFor(path: string, cwd: string): string {
  const below = relative(cwd, path)
  return below === "" || below === ".." || below.startsWith(`..${sep}`) || isAbsolute(below) ? path : below
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined
}
