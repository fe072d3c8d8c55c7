import { isDeepStrictEqual } from 'node:util'
import { expect } from '@jest/globals'
import { tokenHash } from '../../lib/protocol/digest.ts'
import type {
  CodeRedemption,
  FamilyOwner,
  Grant,
  NextToken,
  RefreshPolicy,
  RefreshRequest,
} from '../../lib/stores/ports.ts'
import { aHash, anId, EVERYTHING } from '../contracts/contract.ts'
import type { GrantLedger } from './grant-ledger.ts'
import type { Step } from './grant-scenario.ts'

export type Refresh = Extract<Step, { kind: 'refresh' }>
export type Redeem = Extract<Step, { kind: 'redeem' }>

const KEY_IDS = ['key-1', 'another-key']
const NOTHING = new Map([['https://api.example/elsewhere', new Set(['a', 'b', 'c'])]])

export interface Member {
  readonly ledger: GrantLedger
  readonly lineage: RefreshRequest['lineage']
  readonly redemption: CodeRedemption
  readonly redemptions: CodeRedemption[]
  readonly requests: RefreshRequest[]
  policy: RefreshPolicy
  /** By its policy it was once shorter-lived than before: lists, being hints, may then forget it early. */
  wasShortened: boolean
  /** When the record ends by the real clock, in ms. */
  goneAt: number
}

/** What the step asks with: a token as its client has it, for the policy that is in force by then. */
export function nextRequest(
  member: Member,
  { behind, flaw, grace, secret, narrow, switchTo }: Refresh,
): RefreshRequest {
  const { ledger } = member
  if (switchTo !== undefined) {
    member.wasShortened ||= switchTo.lifetime < member.policy.lifetime
    member.policy = switchTo
  }
  const generation = Math.max(0, (ledger.family?.held.generation ?? 0) - behind)
  const presented = ledger.family?.tokens.findLast((token) => token.generation === generation)
  const { id, clientId } = ledger.grant
  const request: RefreshRequest = {
    grantId: id,
    generation,
    tokenHash: (presented?.hash ?? tokenOf(id, generation, 0).hash) as RefreshRequest['tokenHash'],
    lineage: member.lineage,
    next: tokenOf(id, generation + 1, secret),
    nonce: anId(),
    clientId,
    policy: member.policy,
    grace,
    obtainable: EVERYTHING,
    ...(ledger.family?.boundTo !== undefined && { boundTo: ledger.family.boundTo }),
    ...(narrow && { scope: ['b', 'a'], resource: 'https://api.example/two' }),
    ...flawOfRefresh(flaw),
  }
  if (flaw === 'no key') delete (request as { boundTo?: unknown }).boundTo
  member.requests.push(request)
  return request
}

export function nextRedemption(member: Member, flaw: Redeem['flaw']): CodeRedemption {
  const { redirectUri, ...rest } = { ...member.redemption, nonce: anId(), ...flawOfRedemption(flaw) }
  const request = flaw === 'no uri' || redirectUri === undefined ? rest : { ...rest, redirectUri }
  member.redemptions.push(request)
  return request
}

/** What runs at once with a request: nothing, its own second run, or another like it. */
export function beside<T extends { nonce: string }>(request: T, what: Refresh['atOnce']): T[] {
  if (what === 'one') return []
  return [what === 'same nonce' ? request : { ...request, nonce: anId() }]
}

export function isOwned(grant: Grant, owner: FamilyOwner): boolean {
  return Object.entries(owner).every(([name, value]) =>
    isDeepStrictEqual(grant[name as keyof typeof grant], value),
  )
}

export function tokenOf(grantId: string, generation: number, secret: number): NextToken {
  return { hash: tokenHash(`${grantId} ${generation} ${secret}`), keyId: KEY_IDS[secret] as string }
}

function flawOfRefresh(flaw: Refresh['flaw']): Partial<RefreshRequest> {
  if (flaw === 'foreign') return { clientId: 'another' }
  if (flaw === 'lineage') return { lineage: aHash() }
  if (flaw === 'hash') return { tokenHash: aHash() }
  if (flaw === 'another key') return { boundTo: aHash() }
  if (flaw === 'bad proof') return { boundTo: 'unproven' }
  return flawOfAsking(flaw)
}

function flawOfRedemption(flaw: Redeem['flaw']): Partial<CodeRedemption> {
  if (flaw === 'foreign') return { clientId: 'another' }
  if (flaw === 'hash') return { codeHash: aHash() }
  if (flaw === 'verifier') return { challenge: aHash() }
  if (flaw === 'uri') return { redirectUri: 'https://client.example/other' }
  return flawOfAsking(flaw)
}

function flawOfAsking(flaw: Refresh['flaw'] | Redeem['flaw']) {
  if (flaw === 'wide') return { scope: ['a', 'z'] }
  if (flaw === 'resource') return { resource: 'https://api.example/three' }
  if (flaw === 'nothing') return { obtainable: NOTHING }
  return {}
}

export function same(actual: unknown, expected: unknown): void {
  // The quick comparison first: there are very many.
  if (!isDeepStrictEqual(actual, expected)) expect(actual).toStrictEqual(expected)
}
