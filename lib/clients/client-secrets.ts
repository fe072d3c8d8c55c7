import { sameHash, sha256 } from '../protocol/digest.ts'
import { type Random, randomId } from '../protocol/random.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { Client, ClientSecret } from '../stores/ports.ts'

/** The most secrets of one client that are good at a time. */
const MAX_SECRETS = 4

/** Is this one of the client's secrets, good or ended? In constant time. */
export function hasSecret(secrets: readonly ClientSecret[], presented: string): boolean {
  const hash = sha256(presented)
  return secrets.filter((secret) => sameHash(secret.hash, hash)).length > 0
}

/** Seconds in which the reply that had a secret may be asked for again. */
const GRACE = 300

/**
 * Did the reply with the newest secret not reach its client? It still sends an older one, or, a moment after, none: it is given
 * another, or it would be left with one that ends.
 */
export function isReplyLost(
  [newest]: readonly ClientSecret[],
  presented: string | undefined,
  now: NumericDate,
): boolean {
  if (newest?.givenAt === undefined) return false
  return presented === undefined ? now - newest.givenAt < GRACE : !sameHash(newest.hash, sha256(presented))
}

const isGood = ({ expiresAt = Infinity }: ClientSecret, now: NumericDate) => now < expiresAt

export interface Rotation {
  readonly now: NumericDate
  /** Seconds for which older secrets stay good. */
  readonly overlap: number
  /** When the new one ends; `undefined`: never. */
  readonly expiresAt: NumericDate | undefined
}

/** A client with a new secret, which is shown this once; older ones end after the overlap, or when they would anyway. */
export function withNewSecret(
  client: Client,
  { now, overlap, expiresAt }: Rotation,
  random: Random,
): { client: Client; secret: string } {
  const secret = randomId(random, 32)
  const older = client.secrets
    .map((old) => ({ hash: old.hash, expiresAt: Math.min(old.expiresAt ?? Infinity, now + overlap) }))
    .filter((old) => isGood(old, now))
  const fresh = { hash: sha256(secret), ...(expiresAt !== undefined && { expiresAt }), givenAt: now }
  return { client: { ...client, secrets: [fresh, ...older].slice(0, MAX_SECRETS) }, secret }
}
