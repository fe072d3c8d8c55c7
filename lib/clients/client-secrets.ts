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
  const fresh = { hash: sha256(secret), ...(expiresAt !== undefined && { expiresAt }) }
  return { client: { ...client, secrets: [fresh, ...older].slice(0, MAX_SECRETS) }, secret }
}
