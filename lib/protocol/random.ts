import { randomFillSync } from 'node:crypto'

/** Where random bytes come from. `systemRandom` is the only reader of the machine's source. */
export type Random = (size: number) => Buffer

/** Asking the machine costs the same for 16 bytes as for 4,096, so they are fetched in one go. */
const pool = Buffer.alloc(4096)
let used = pool.length

/** The machine's cryptographically secure source. Bytes that were handed out are erased from the pool. */
export const systemRandom: Random = (size) => {
  if (size > pool.length) return randomFillSync(Buffer.alloc(size))
  if (used + size > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const bytes = Buffer.allocUnsafe(size)
  pool.copy(bytes, 0, used, used + size)
  pool.fill(0, used, used + size)
  used += size
  return bytes
}

/** `size` random bytes (default 16 = 128 bits) as base64url, so `[A-Za-z0-9_-]` only. */
export function randomId(random: Random, size = 16): string {
  return random(size).toString('base64url')
}
