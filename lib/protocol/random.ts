import { randomBytes } from 'node:crypto'

/** Where random bytes come from. `systemRandom` is the only reader of the machine's source. */
export type Random = (size: number) => Buffer

/** The machine's cryptographically secure source. */
export const systemRandom: Random = (size) => randomBytes(size)

/** `size` random bytes (default 16 = 128 bits) as base64url, so `[A-Za-z0-9_-]` only. */
export function randomId(random: Random, size = 16): string {
  return random(size).toString('base64url')
}
