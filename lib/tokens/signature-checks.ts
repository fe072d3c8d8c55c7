import { verifyWith } from '../protocol/jwa.ts'
import type { VerificationKey } from './compact-jws.ts'
import { createSuspects } from './suspects.ts'
import { createTurns } from './turns.ts'

/**
 * Checks signatures of tokens that are not known yet. Who presents forged ones again and again waits behind others of his
 * kind, one at a time, so that a flood of them takes neither the threads nor the processor from everybody else.
 */
export function createSignatureChecks() {
  const suspects = createSuspects()
  const turnOfAnybody = createTurns(32, 2048)
  const turnOfSuspects = createTurns(1, 256)

  /** @param from the address that presented it @throws Overcrowded where too many are waiting */
  return function isSignedBy(
    key: VerificationKey,
    data: Buffer,
    signature: Buffer,
    from: string,
  ): Promise<boolean> {
    const inTurn = suspects.has(from) ? turnOfSuspects : turnOfAnybody
    return inTurn(() => verifyWith(key.alg, key.publicKey, data, signature)).then((isGood) => {
      suspects.judge(from, isGood)
      return isGood
    })
  }
}
