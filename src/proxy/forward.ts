/** Forwards an admitted call to its provider and resolves when the answer is over, however it ended. Never throws. */

import { type SignableRequest, signedFor } from "../providers/aws-signature.ts"
import { isBeforeUsage } from "../providers/azure-deployments.ts"
import { type Provider, type ProviderAccount, pathAt } from "../providers/router.ts"
import { accountCredential, type Credential, upstreamHeaders } from "../providers/upstream-headers.ts"
import { answerDialect } from "./answer-dialect.ts"
import type { Admitted, Answer, Call } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import { heldAnswers } from "./held-answer.ts"
import { enterNamed } from "./objects-born.ts"
import { ownHeaders } from "./own-headers.ts"
import { Relay, type SlicedStream } from "./relay.ts"
import { throughHere } from "./upload-url.ts"

export function forward(plane: DataPlane, call: Call, admitted: Admitted): Promise<Answer> {
  const { facts, route, form, outputTokensMax } = admitted
  const { provider } = route
  const takesUsageOption = provider.takesUsageOption && !isBeforeUsage(call.door.query)
  const injectsUsage = facts.isStream && !facts.asksUsage && takesUsageOption
  const { dialect } = call.endpoint
  return new Promise((onEnd) => {
    const relay = new Relay({
      response: call.response,
      dialect: answerDialect(call, admitted),
      ownHeaders: ownHeaders(call, admitted),
      hidesUsage: injectsUsage,
      slices: slicedStream(call, admitted),
      isOurCredential: provider.credential === "account",
      held: heldAnswers(plane, call, admitted),
      adaptHeaders: call.endpoint.path === "/upload/files" ? (headers) => throughHere(call, headers) : null,
      onNamed: enterNamed(plane, call, admitted),
      providerName: provider.name,
      drainMs: provider.timeouts.drainMs,
      drains: plane.drains,
      onEnd,
    })
    const rewrite = { model: route.model, injectsUsage, outputTokensMax }
    const body = bodyOf(call, dialect.rewriteRequest(admitted.body, facts, rewrite, form))
    const request = { ...requestTo(call, admitted, upstreamPath(call, admitted)), body }
    const upstream = plane.upstreams.pool(provider.origin).dispatch(signed(plane, admitted, request), relay)
    relay.follow(upstream)
  })
}

function slicedStream(call: Call, { slices, facts }: Admitted): SlicedStream | null {
  const streamEnd = slices === null ? undefined : call.endpoint.dialect.streamEnd?.(facts)
  return slices === null || streamEnd === undefined ? null : { slices, streamEnd }
}

/** What every request to the call's provider has, whatever its path. */
export function requestTo(call: Call, { route, account }: Admitted, path: string) {
  const { provider } = route
  const { timeouts } = provider
  return {
    path,
    method: call.request.method ?? "POST",
    headers: upstreamHeaders(call.request.rawHeaders, {
      credential: credentialFor(provider, account, call),
      headers: provider.headers,
    }),
    connectMs: timeouts.connectMs,
    headMs: timeouts.firstByteMs,
    idleMs: timeouts.idleMs,
  }
}

/** With the signature of access keys, where those pay. */
function signed<Request extends SignableRequest>(
  plane: DataPlane,
  { account, route }: Admitted,
  request: Request,
): Request {
  if (route.provider.credential === "caller") return request
  return { ...request, ...signedFor(route.provider, account, request, plane.clock.nowMs()) }
}

function credentialFor(provider: Provider, account: ProviderAccount, call: Call): Credential | null {
  if (provider.credential === "caller") return call.callerCredential
  return accountCredential(account, call.door.api, call.door.path)
}

/** The path as the caller wrote it, but for a model in it that is known by another name there. */
export function upstreamPath(call: Call, { route, facts }: Admitted): string {
  const { door, endpoint } = call
  const isRenamed = door.match?.model != null && route.model !== facts.model
  const path = isRenamed ? endpoint.path.replace("{model}", () => encodeURIComponent(route.model)) : door.path
  const at = pathAt(route.provider, door.api, path, door.version)
  if (at === null) throw new Error(`${route.provider.name} has no ${path}: it should not have been routed there.`)
  return at + door.query
}

/** An empty body is none at all, but for the methods that announce one. */
function bodyOf(call: Call, body: Buffer): Buffer | null {
  return body.length === 0 && call.request.method !== "POST" && call.request.method !== "PUT" ? null : body
}
