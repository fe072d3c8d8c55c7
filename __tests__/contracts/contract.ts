import { randomBytes } from 'node:crypto'
import { type TokenHash, tokenHash } from '../../lib/protocol/digest.ts'
import type {
  CodeRecord,
  CodeRedemption,
  Grant,
  NextToken,
  Obtainable,
  RefreshPolicy,
  RefreshRequest,
  Stores,
} from '../../lib/stores/ports.ts'
import type { ManualClock } from '../support/world.ts'

/** Empty stores that take their time from the given clock; `close` lets go of what they hold. */
export type StoresFactory = (clock: ManualClock) => Promise<{ stores: Stores; close: () => Promise<void> }>

/** When the clock of every contract starts. */
export const T = 1_800_000_000

export const anId = (): string => randomBytes(16).toString('base64url')
export const aHash = (): TokenHash => tokenHash(randomBytes(32))

export function aGrant(over: Partial<Grant> = {}): Grant {
  return {
    id: anId(),
    clientId: 'a-client',
    subject: 'alice',
    scope: ['a', 'b', 'c'],
    resources: ['https://api.example/one', 'https://api.example/two'],
    createdAt: T,
    authTime: T - 30,
    acr: 'urn:example:acr',
    amr: ['pwd', 'otp'],
    ...over,
  }
}

export function aCode(over: Partial<CodeRecord> = {}): CodeRecord {
  return {
    grant: aGrant(),
    codeHash: aHash(),
    redirectUri: 'https://client.example/cb',
    redirectUriRequired: true,
    codeChallenge: aHash(),
    expiresAt: T + 60,
    ...over,
  }
}

/** What grants of these tests have, all of it still to be had. */
export const EVERYTHING: Obtainable = new Map(
  aGrant().resources.map((resource) => [resource, new Set(aGrant().scope)]),
)

/** The right redemption of a code; with `policy` it opens a family. */
export function redemptionOf(
  code: CodeRecord,
  over: Partial<CodeRedemption> = {},
  policy?: RefreshPolicy,
  token: NextToken = aToken(),
  lineage: TokenHash = aHash(),
): CodeRedemption {
  return {
    grantId: code.grant.id,
    codeHash: code.codeHash,
    nonce: anId(),
    clientId: code.grant.clientId,
    redirectUri: code.redirectUri,
    challenge: code.codeChallenge,
    obtainable: EVERYTHING,
    policy: policy ?? ROTATE,
    ...(policy !== undefined && { family: { token, lineage } }),
    ...over,
  }
}

export function aToken(keyId = 'key-1'): NextToken {
  return { hash: aHash(), keyId }
}

export const ROTATE: RefreshPolicy = { issuance: 'rotate', lifetime: 100 }
export const RESET: RefreshPolicy = { issuance: 'rotate-and-reset', lifetime: 100 }
export const KEEP: RefreshPolicy = { issuance: 'keep', lifetime: 100 }

/** A family as its client sees it: its tokens by generation, and requests made of them. */
export interface TestFamily {
  readonly grant: Grant
  readonly policy: RefreshPolicy
  /** Generations 0, 1, 2, …: each the successor of the one before. */
  readonly tokens: NextToken[]
  /** What all of them share, hashed. */
  readonly lineage: TokenHash
  /** A refresh with the token of a generation. */
  refresh(generation: number, over?: Partial<RefreshRequest>): RefreshRequest
}

export async function openFamily(
  stores: Stores,
  policy: RefreshPolicy,
  over: Partial<Grant> = {},
  expiresAt?: number,
): Promise<TestFamily> {
  const code = aCode({
    grant: aGrant(over),
    refreshLifetime: policy.lifetime,
    ...(expiresAt !== undefined && { expiresAt }),
  })
  const tokens = [aToken(), aToken(), aToken(), aToken(), aToken(), aToken(), aToken(), aToken()]
  await stores.grants.issueCode(code)
  const lineage = aHash()
  const answer = await stores.grants.redeemCode(redemptionOf(code, {}, policy, tokens[0], lineage))
  if (answer.outcome !== 'redeemed') throw new Error(`the family did not open: ${answer.outcome}`)
  return {
    grant: code.grant,
    policy,
    tokens,
    lineage,
    refresh: (generation, more = {}) => ({
      grantId: code.grant.id,
      generation,
      tokenHash: (tokens[generation] as NextToken).hash,
      lineage,
      next: tokens[generation + 1] as NextToken,
      nonce: anId(),
      clientId: code.grant.clientId,
      policy,
      grace: 10,
      obtainable: EVERYTHING,
      ...more,
    }),
  }
}
