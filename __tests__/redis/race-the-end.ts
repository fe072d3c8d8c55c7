import { randomBytes } from 'node:crypto'
import { sha256, type TokenHash } from '../../lib/protocol/digest.ts'
import type { Grant, RefreshPolicy } from '../../lib/stores/ports.ts'
import { sharedRedis } from '../support/redis-servers.ts'
import { proxiedStores } from '../support/redis-world.ts'

const RESOURCE = 'https://api.example/'
const obtainable = new Map([[RESOURCE, new Set(['a'])]])
const hash = () => randomBytes(16).toString('base64url') as TokenHash
const id = () => randomBytes(16).toString('base64url')

/**
 * Refreshes families around their end, by the server's own clock. A rotation counts as broken where its successor is refused
 * at once although it was said to live for longer.
 * @param each so many are to be rotated and so many refused: there are more rounds until they are, five times as many at most
 */
export async function raceTheEnd({ rounds, batch, each }: { rounds: number; batch: number; each: number }) {
  const { port } = await sharedRedis()
  const { stores } = await proxiedStores({ client: { port }, redis: { deadline: 5000 } })
  const policy: RefreshPolicy = { issuance: 'rotate-and-reset', lifetime: 0.3 }
  const counts = { rotated: 0, refused: 0, broken: [] as string[] }
  /** Seconds that the way to the server takes, found by aiming: later after a refresh that was early, sooner after one that was late. */
  let way = 0.004

  async function one(): Promise<void> {
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
    await new Promise((resolve) => setTimeout(resolve, (at - Date.now() / 1000) * 1000))
    const successor = hash()
    const first = await refresh(0, tokenHash, successor)
    if (first.outcome !== 'rotated') {
      counts.refused++
      way = Math.min(0.2, way + 0.0002)
      if (first.outcome !== 'expired' && first.outcome !== 'unknown') counts.broken.push(first.outcome)
      return
    }
    counts.rotated++
    way = Math.max(-0.02, way - 0.0002)
    if (first.limits.expiresAt < end) counts.broken.push('an end that came closer')
    const second = await refresh(1, successor, hash())
    if (second.outcome !== 'rotated' && Date.now() / 1000 < first.limits.expiresAt)
      counts.broken.push(`a successor that was ${second.outcome}`)
  }

  const isOneSided = () => Math.min(counts.rotated, counts.refused) < each
  let done = 0
  for (let size = batch; done < rounds || (isOneSided() && done < 5 * rounds); ) {
    const { rotated } = counts
    await Promise.all(Array.from({ length: size }, one))
    done += size
    // More than this machine can prepare before they end: fewer at once.
    if (counts.rotated === rotated) size = Math.max(20, size >> 1)
  }
  return { ...counts, done }
}
