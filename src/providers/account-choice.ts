/**
 * Which of a provider's accounts a virtual key calls with: weighted rendezvous hashing. Each account draws a number from
 * the key's id and its own name, and the smallest wins; so a key keeps its account for as long as that is there, since
 * files, batches and prompt caches at a provider belong to an account, and an account that comes or goes moves only the
 * keys that it wins or loses. Pure.
 */
type Weighted = { readonly name: string; readonly weight: number }

/** The account of the key with this id; undefined where there is none. Each gets keys in proportion to its weight. */
export function chooseAccount<Account extends Weighted>(
  accounts: readonly Account[],
  keyId: string,
): Account | undefined {
  const [first] = accounts
  if (accounts.length < 2) return first
  let chosen = first
  let least = Number.POSITIVE_INFINITY
  for (const account of accounts) {
    // The time of the first event of a Poisson process whose rate is the weight: the chance to be first is the weight's share.
    const drawn = -Math.log(fractionOf(`${account.name}\n${keyId}`)) / account.weight
    if (drawn < least) {
      chosen = account
      least = drawn
    }
  }
  return chosen
}

const TWO_TO_32 = 4_294_967_296

/** A text's place between 0 and 1, neither included: as good as random, and the same everywhere. */
function fractionOf(text: string): number {
  // FNV-1a, whose low bits mix and whose high bits do not, then the finisher of MurmurHash3, which mixes them all.
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (((hash ^ (hash >>> 16)) >>> 0) + 0.5) / TWO_TO_32
}
