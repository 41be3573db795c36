/** What Bedrock would say of the signatures: recomputed from the request as it would arrive, by another reading of the rules. */
import { describe, expect, test } from "vitest"
import { awsKeyFault } from "../../src/providers/aws-keys.ts"
import { regionOfHost, signedRequest } from "../../src/providers/aws-signature.ts"
import { checkSignature } from "../support/aws-verify.ts"

/** Those of AWS's own test suite. */
const KEYS = {
  accessKeyId: "AKIDEXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
  sessionToken: null,
}
const TO = {
  host: "bedrock-runtime.us-east-1.amazonaws.com",
  region: "us-east-1",
  atMs: Date.UTC(2026, 10, 24, 1, 2, 3),
}

function arrived(request: Parameters<typeof signedRequest>[0], keys: Parameters<typeof signedRequest>[1] = KEYS) {
  const { path, headers } = signedRequest(request, keys, TO)
  const named: Record<string, string> = { host: TO.host }
  for (let i = 0; i < headers.length; i += 2) named[headers[i] ?? ""] = headers[i + 1] ?? ""
  if (request.body !== null) named["content-length"] = String(request.body.length)
  return { method: request.method, path, headers: named, body: request.body ?? Buffer.alloc(0) }
}

describe("the check that the signatures are held to", () => {
  test.each([
    ["GET", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"],
    ["POST", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"],
  ])("finds the signature that AWS publishes for its example of %s", (method, published) => {
    const authorization =
      "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, " +
      `SignedHeaders=host;x-amz-date, Signature=${published}`
    const headers = { host: "example.amazonaws.com", "x-amz-date": "20150830T123600Z", authorization }
    const check = checkSignature({ method, path: "/", headers, body: Buffer.alloc(0) }, KEYS.secretAccessKey)
    expect(check.computed).toBe(published)
  })
})

describe("a signed request", () => {
  const body = Buffer.from('{"messages":[{"role":"user","content":[{"text":"Grüße"}]}]}')
  const headers = ["content-type", "application/json", "accept", "*/*"]
  const converse = { method: "POST", path: "/model/us.anthropic.claude-sonnet-4-5-v1:0/converse", headers, body }

  test("is one that its keys make, with its host, its body's type and its time signed", () => {
    const request = arrived(converse)
    const check = checkSignature(request, KEYS.secretAccessKey)
    expect(check.computed).toBe(check.stated)
    expect(check).toMatchObject({ accessKeyId: "AKIDEXAMPLE", region: "us-east-1", service: "bedrock" })
    expect(check.signedHeaders).toEqual(["content-length", "content-type", "host", "x-amz-date"])
    expect(request.headers["x-amz-date"]).toBe("20261124T010203Z")
    expect(request.headers.accept).toBe("*/*")
    expect(JSON.stringify(request.headers)).not.toContain(KEYS.secretAccessKey)
  })
  test("names its model with the colon escaped, as AWS's SDKs do", () => {
    expect(arrived(converse).path).toBe("/model/us.anthropic.claude-sonnet-4-5-v1%3A0/converse")
  })
  test("of another body, path, host or secret has another signature", () => {
    const request = arrived(converse)
    const { stated } = checkSignature(request, KEYS.secretAccessKey)
    for (const other of [
      { ...request, body: Buffer.from("{}") },
      { ...request, path: request.path.replace("claude", "clone") },
      { ...request, headers: { ...request.headers, host: "elsewhere.example.com" } },
      { ...request, headers: { ...request.headers, "content-type": "text/plain" } },
    ]) {
      expect(checkSignature(other, KEYS.secretAccessKey).computed).not.toBe(stated)
    }
    expect(checkSignature(request, "another").computed).not.toBe(stated)
  })
  test("of keys that expire carries their token, and signs it", () => {
    const request = arrived(converse, { ...KEYS, sessionToken: "a/token+of=a session".replaceAll(" ", "-") })
    const check = checkSignature(request, KEYS.secretAccessKey)
    expect(check.computed).toBe(check.stated)
    expect(check.signedHeaders).toContain("x-amz-security-token")
    expect(request.headers["x-amz-security-token"]).toBe("a/token+of=a-session")
  })
  test.each([
    ["without a body", { method: "GET", path: "/foundation-models?byProvider=x&a=1", headers: [], body: null }],
    ["with an empty body", { ...converse, body: Buffer.alloc(0) }],
    ["without a type", { ...converse, headers: [] }],
  ])("%s is signed too", (_name, request) => {
    const check = checkSignature(arrived(request), KEYS.secretAccessKey)
    expect(check.computed).toBe(check.stated)
  })
})

test.each([
  ["https://bedrock-runtime.eu-central-1.amazonaws.com", "eu-central-1"],
  ["https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"],
  ["https://vpce-0a1b.bedrock-runtime.ap-southeast-2.vpce.amazonaws.com", "ap-southeast-2"],
  ["https://gateway.example.com/bedrock", null],
])("%s is in the region %s", (url, region) => {
  expect(regionOfHost(url)).toBe(region)
})

test.each([
  [{ access_key_id: "A" }, "secret_access_key"],
  [{ secret_access_key: "s" }, "access_key_id"],
  [{ session_token: "t" }, "access_key_id"],
  [{ access_key_id: "A", secret_access_key: "s", api_key: "k" }, "api_key"],
  [{ access_key_id: "A", secret_access_key: "s" }, null],
  [{ api_key: "k" }, null],
])("%j at Bedrock: what is wrong is %s", (members, wrong) => {
  const provider = { dialect: "bedrock", baseUrl: "https://bedrock-runtime.us-east-1.amazonaws.com", region: "" }
  expect(awsKeyFault(members, provider)?.member ?? null).toBe(wrong)
})

test("access keys are nothing to other dialects, and need a region", () => {
  const members = { access_key_id: "A", secret_access_key: "s" }
  const elsewhere = { dialect: "openai", baseUrl: "https://api.example.com/v1", region: "us-east-1" }
  expect(awsKeyFault(members, elsewhere)).toMatchObject({ member: "access_key_id" })
  expect(awsKeyFault(members, { ...elsewhere, dialect: "bedrock", region: "" })).toMatchObject({ member: "region" })
  expect(awsKeyFault(members, { ...elsewhere, dialect: "bedrock" })).toBeNull()
})
