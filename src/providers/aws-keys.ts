/** Which access keys of AWS an account may be given: the same for the configuration and the admin API. */
import { regionOfHost } from "./aws-signature.ts"

/** As both write them; what is absent is not given. */
export type AwsKeyMembers = {
  readonly api_key?: string | null | undefined
  readonly access_key_id?: string | undefined
  readonly secret_access_key?: string | undefined
  readonly session_token?: string | undefined
}

export type AwsKeyFault = {
  readonly member: keyof AwsKeyMembers | "region"
  /** As a noun phrase. */
  readonly expected: string
}

/** What is wrong with them at a provider; null where nothing is, or where there are none. */
export function awsKeyFault(
  { api_key, access_key_id, secret_access_key, session_token }: AwsKeyMembers,
  provider: { readonly dialect: string; readonly baseUrl: string; readonly region: string },
): AwsKeyFault | null {
  if (access_key_id === undefined && secret_access_key === undefined && session_token === undefined) return null
  if (provider.dialect !== "bedrock") {
    const member = access_key_id === undefined ? "secret_access_key" : "access_key_id"
    return { member, expected: "nothing, since only the dialect bedrock signs with access keys" }
  }
  if (access_key_id === undefined) return { member: "access_key_id", expected: "the id of the access key beside it" }
  if (secret_access_key === undefined) return { member: "secret_access_key", expected: "the secret of access_key_id" }
  if (api_key !== undefined && api_key !== null) {
    return { member: "api_key", expected: "nothing, since access_key_id takes its place" }
  }
  if (regionOfHost(provider.baseUrl) === null && provider.region === "") {
    return { member: "region", expected: "the region to sign for, since the address of the provider names none" }
  }
  return null
}
