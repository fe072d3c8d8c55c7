import { randomBytes } from 'node:crypto'
import { sha256, type TokenHash } from '../../lib/protocol/digest.ts'
import type { Grant, RefreshPolicy } from '../../lib/stores/ports.ts'
import { sharedRedis } from '../support/redis-servers.ts'
import { proxiedStores } from '../support/redis-world.ts'

const RESOURCE = 'https://api.example/'
const obtainable = new Map([[RESOURCE, new Set(['a'])]])
const hash = () => randomBytes(16).toString('base64url') as TokenHash
const id = () => randomBytes(16).toString('base64url')

/** Families that are on their way to their end at the same time. */
const LANES = 200
/** Seconds a family lives: what comes before its end, on a machine that is busy, has to fit in. */
const LIFETIME = 0.3
/** Seconds that an attempt may come later than it was aimed at; later ones tell nothing about the end. */
const AIMED = 0.005

/**
 * Refreshes families within 5 ms of their end, by the server's own clock, until there were `rounds` or `seconds` are over. A
 * rotation counts as broken where its successor is refused at once although it was said to live for longer.
 */
export async function raceTheEnd({ rounds, seconds }: { rounds: number; seconds: number }) {
  const { port } = await sharedRedis()
  const { stores } = await proxiedStores({ client: { port }, redis: { deadline: 5000 } })
  const policy: RefreshPolicy = { issuance: 'rotate-and-reset', lifetime: LIFETIME }
  const counts = { rotated: 0, refused: 0, broken: [] as string[] }
  /** Seconds that the way to the server takes, found by aiming: later after a refresh that was early, sooner after one that was late. */
  let way = 0.004

  async function one(): Promise<boolean> {
    const now = Date.now() / 1000
    const grant: Grant = {
      id: id(),
      clientId: 'client',
      subject: id(),
      scope: ['a'],
      resources: [RESOURCE],
      createdAt: now,
      authTime: now,
    }
    const [codeHash, lineage, tokenHash] = [sha256(id()), hash(), hash()]
    await stores.grants.issueCode({
      grant,
      codeHash,
      redirectUri: 'https://client.example/cb',
      redirectUriRequired: false,
      codeChallenge: 'challenge',
      expiresAt: now + 60,
    })
    const common = { grantId: grant.id, clientId: 'client', nonce: id(), obtainable }
    const redeemed = await stores.grants.redeemCode({
      ...common,
      codeHash,
      challenge: 'challenge',
      policy,
      family: { token: { hash: tokenHash, keyId: 'k' }, lineage },
    })
    if (redeemed.outcome !== 'redeemed' || redeemed.limits === undefined) throw new Error(redeemed.outcome)
    const end = redeemed.limits.expiresAt
    const refresh = (generation: number, presented: TokenHash, next: TokenHash) =>
      stores.grants.refresh({
        ...common,
        nonce: id(),
        generation,
        tokenHash: presented,
        lineage,
        next: { hash: next, keyId: 'k' },
        policy,
        grace: 10,
      })
    const at = end - way - 0.005 + Math.random() * 0.01
    await sleep(at - Date.now() / 1000)
    const isLate = Date.now() / 1000 > at + AIMED
    const successor = hash()
    const first = await refresh(0, tokenHash, successor)
    if (first.outcome !== 'rotated') {
      if (!isLate) {
        counts.refused++
        way = Math.min(0.2, way + 0.0002)
      }
      if (first.outcome !== 'expired' && first.outcome !== 'unknown') counts.broken.push(first.outcome)
      return isLate
    }
    if (!isLate) {
      counts.rotated++
      way = Math.max(-0.02, way - 0.0002)
    }
    if (first.limits.expiresAt < end) counts.broken.push('an end that came closer')
    const second = await refresh(1, successor, hash())
    if (second.outcome !== 'rotated' && Date.now() / 1000 < first.limits.expiresAt)
      counts.broken.push(`a successor that was ${second.outcome}`)
    return isLate
  }

  const deadline = Date.now() + seconds * 1000
  async function lane(): Promise<void> {
    // Whoever comes late makes room for the others.
    while (counts.rotated + counts.refused < rounds && Date.now() < deadline)
      if (await one()) await sleep(Math.random() * 2 * LIFETIME)
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  return counts
}

const sleep = (seconds: number) => new Promise<void>((resolve) => setTimeout(resolve, seconds * 1000))
