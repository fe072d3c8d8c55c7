import { type DerivedKeys, mac, sameTag } from '../protocol/derived-keys.ts'
import type { NumericDate } from '../protocol/time.ts'
import { TAG_BYTES, tokenFormat } from './token-format.ts'

/** Seconds for which one nonce is handed out. It is good for one more period, and one ahead: clocks of instances differ. */
const PERIOD = 120

const format = tokenFormat('', 4 + TAG_BYTES)

/**
 * Nonces for DPoP proofs (RFC 9449 §8): the period that they were given in and a tag, so nothing is stored and one instance's
 * are good at every other with the same secrets.
 */
export function dpopNonces(keys: readonly [DerivedKeys, ...DerivedKeys[]]) {
  const tagOf = (key: DerivedKeys, period: Uint8Array) =>
    mac(key.nonce, 'dpop', period).subarray(0, TAG_BYTES)

  return {
    /** What proofs must have now. */
    current(now: NumericDate): string {
      const period = Buffer.alloc(4)
      period.writeUInt32BE(Math.floor(now / PERIOD))
      return format.write(Buffer.concat([period, tagOf(keys[0], period)]))
    },

    /** Until when a nonce is good; `undefined` for one that is not. */
    goodUntil(nonce: string, now: NumericDate): NumericDate | undefined {
      const bytes = format.read(nonce)
      if (bytes === undefined) return undefined
      const period = bytes.subarray(0, 4)
      const age = Math.floor(now / PERIOD) - period.readUInt32BE()
      if (Math.abs(age) > 1) return undefined
      const tag = bytes.subarray(4)
      if (!keys.some((key) => sameTag(tag, tagOf(key, period)))) return undefined
      return (period.readUInt32BE() + 2) * PERIOD
    },
  }
}

export type DpopNonces = ReturnType<typeof dpopNonces>
