import { verifyWith } from '../protocol/jwa.ts'
import type { VerificationKey } from './compact-jws.ts'
import { createRecent } from './recent.ts'
import { createTurns } from './turns.ts'

/** Forged tokens over good ones from one address that make it a suspect, and the most that are held against it. */
const SUSPECT = 8
const WORST = 64
/** Addresses whose tokens are remembered as forged. */
const ADDRESSES = 4096

/**
 * Checks signatures of tokens that are not known yet. Who presents forged ones again and again waits behind others of his
 * kind, one at a time, so that a flood of them takes neither the threads nor the processor from everybody else.
 */
export function createSignatureChecks() {
  const forgeries = createRecent<string, number>(ADDRESSES)
  const anybody = createTurns(32, 2048)
  const suspects = createTurns(1, 256)

  /** @param from the address that presented it @throws Overcrowded where too many are waiting */
  return function isSignedBy(
    key: VerificationKey,
    data: Buffer,
    signature: Buffer,
    from: string,
  ): Promise<boolean> {
    const held = forgeries.get(from) ?? 0
    const inTurn = held >= SUSPECT ? suspects : anybody
    return inTurn(() => verifyWith(key.alg, key.publicKey, data, signature)).then((isGood) => {
      const now = forgeries.get(from) ?? 0
      if (!isGood) forgeries.set(from, Math.min(now + 1, WORST))
      else if (now > 0) forgeries.set(from, now - 1)
      return isGood
    })
  }
}
