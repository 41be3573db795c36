/**
 * OpenAI's calls as Azure has them for its deployments: `/openai/deployments/{deployment}/chat/completions?api-version=…`.
 * The deployment stands in the path, and the body need name no model. (Azure OpenAI REST API reference, data plane.) Its
 * newer `/openai/v1/…` is OpenAI's own API and needs none of this.
 */
import type { Api, Dialect, ReadRequest, RequestForm } from "./dialect.ts"
import type { Endpoint } from "./endpoint-row.ts"
import { withMember } from "./json-members.ts"
import { isMultipart, withField } from "./multipart-form.ts"

const DEPLOYMENTS = "/openai/deployments/"
/** What a provider's base URL may have behind the resource's name. */
const BASE_END = /\/openai(?:\/v\d+)?$/
/** The first version of the API that reports the usage of a stream. */
const USAGE_SINCE = "2024-09-01"

/** Those of the endpoints that call models, under the path of a deployment and under the same names. */
export function deploymentsOf<A extends Api>(endpoints: readonly Endpoint<A>[]): Endpoint<A>[] {
  return endpoints
    .filter(({ routedBy, object }) => routedBy === "model" && object === null)
    .map((endpoint) => ({
      ...endpoint,
      path: `${DEPLOYMENTS}{model}${endpoint.path}`,
      dialect: namedInPath(endpoint.dialect),
    }))
}

/** Whether a path is one of a deployment: there a key travels in a header of Azure's own. */
export function isDeployment(path: string): boolean {
  return path.startsWith(DEPLOYMENTS)
}

/** The path of a deployment at its resource, whichever of Azure's APIs the base URL names. */
export function deploymentPath(basePath: string, path: string): string {
  return basePath.replace(BASE_END, "") + path
}

/** Whether the version of the API that a query names takes no question for the usage of a stream. */
export function isBeforeUsage(query: string): boolean {
  const version = /[?&]api-version=(\d{4}-\d\d-\d\d)/.exec(query)?.[1]
  return version !== undefined && version < USAGE_SINCE
}

function namedInPath(dialect: Dialect): Dialect {
  return {
    ...dialect,
    readRequest(body: Buffer, form: RequestForm): ReadRequest {
      if (form.model === null) return dialect.readRequest(body, form)
      const read = dialect.readRequest(withModel(body, form, form.model), { ...form, model: null, isStream: null })
      return read.kind === "read" ? { ...read, facts: { ...read.facts, model: form.model } } : read
    },
  }
}

/** Only to be read: what is sent stays as it came. */
function withModel(body: Buffer, { contentType }: RequestForm, model: string): Buffer {
  if (isMultipart(contentType)) return withField(body, contentType, "model", model)
  return body.includes('"model"') ? body : withMember(body, "model", JSON.stringify(model))
}
